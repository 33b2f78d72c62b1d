#!/bin/bash
# Image $IMAGE: Fortio at the version of go.mod, whose sums are in go.sum.
set -euo pipefail
cp "$HERE/go.mod" "$HERE/go.sum" "$WORK/" && cd "$WORK"
go build -mod=readonly -trimpath -ldflags '-s -w' -o fortio fortio.org/fortio
install -m 755 "$HERE/load" load
docker build --quiet --build-arg "DEBIAN_BASE=$DEBIAN_BASE" --tag "$IMAGE" --file "$HERE/Dockerfile" .
