#!/bin/bash
# Image $IMAGE: the servers and the DNS of images/world.
set -euo pipefail
cd "$HERE/../world"
go build -trimpath -ldflags '-s -w' -o "$WORK/world" .
docker build --quiet --tag "$IMAGE" --file "$HERE/Dockerfile" "$WORK"
