#!/bin/bash
# Image $IMAGE: CoreDNS $COREDNS with the plugins of main.go.
set -euo pipefail
cp "$HERE/main.go" "$WORK/" && cd "$WORK"
printf 'module cluster-dns\n\ngo 1.24\n\nrequire github.com/coredns/coredns %s\n' "$COREDNS" > go.mod
go build -mod=mod -trimpath -ldflags '-s -w' -o coredns .
docker build --quiet --tag "$IMAGE" --file "$HERE/Dockerfile" .
