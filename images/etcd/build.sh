#!/bin/bash
# Image $IMAGE: etcd $ETCD. Compiled in a module of its own, as `go install` refuses go.mod files with replace lines.
set -euo pipefail
cd "$WORK"
printf 'module etcd-server\n\ngo 1.24\n\nrequire go.etcd.io/etcd/server/v3 %s\n' "$ETCD" > go.mod
go build -mod=mod -trimpath -ldflags '-s -w' -o etcd go.etcd.io/etcd/server/v3
docker build --quiet --tag "$IMAGE" --file "$HERE/Dockerfile" .
