#!/bin/bash
# Image $IMAGE: the parts of Kubernetes that run as pods, from the binary in $KUBERNETES.
set -euo pipefail
cp "$KUBERNETES/kubernetes" "$WORK/"
docker build --quiet --build-arg "DEBIAN_BASE=$DEBIAN_BASE" --tag "$IMAGE" --file "$HERE/Dockerfile" "$WORK"
