#!/bin/bash
# Image $IMAGE: what sends the requests.
set -euo pipefail
docker build --quiet --build-arg "DEBIAN_BASE=$DEBIAN_BASE" --tag "$IMAGE" - < "$HERE/Dockerfile"
