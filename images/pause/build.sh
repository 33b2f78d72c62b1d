#!/bin/bash
# Image $IMAGE: the process of main.go.
set -euo pipefail
cd "$WORK"
go build -trimpath -ldflags '-s -w' -o pause "$HERE/main.go"
docker build --quiet --tag "$IMAGE" --file "$HERE/Dockerfile" .
