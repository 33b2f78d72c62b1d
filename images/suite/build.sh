#!/bin/bash
# Image $IMAGE: the suite with its locked dependencies, for the Python of $DEBIAN_PYTHON, which is $PYTHON_VERSION.
set -euo pipefail
root=$(cd "$HERE/../.." && pwd)
suite=$WORK/suite
mkdir -p "$suite" "$WORK/reports"

pip() { "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input --no-compile --no-deps "$@"; }

# Wheels for the image's Python, not for the one that runs this: newer pips take a tag for all older ones, others do not.
platforms=()
for glibc in 36 35 34 31 28 27 26 24 17 12 5; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64)
pip --target "$suite/site" --require-hashes --only-binary :all: "${platforms[@]}" \
  --implementation cp --python-version "$PYTHON_VERSION" --requirement "$root/requirements.lock"

# The package lies beside its cases and manifests, as in a checkout; of the installed one only the metadata is wanted.
pip --target "$WORK/package" --no-build-isolation "$root"
cp -r "$WORK"/package/*.dist-info "$suite/site/"
tar --create --directory "$root" --exclude=__pycache__ \
  egress_conformance suites manifests images pyproject.toml conftest.py | tar --extract --directory "$suite"
install -m 755 "$HERE/job.sh" "$suite/job.sh"

cp "$HERE/Dockerfile" "$WORK"
docker build --quiet --build-arg "DEBIAN_PYTHON=$DEBIAN_PYTHON" --tag "$IMAGE" "$WORK"
