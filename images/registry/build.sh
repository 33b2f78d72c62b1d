#!/bin/bash
# Image $IMAGE: a registry at the version of go.mod, whose sums are in go.sum.
set -euo pipefail
cp "$HERE"/{go.mod,go.sum,main.go,config.yml} "$WORK/" && cd "$WORK"
go build -mod=readonly -trimpath -ldflags '-s -w' -o registry .
docker build --quiet --tag "$IMAGE" --file "$HERE/Dockerfile" .
