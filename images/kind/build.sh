#!/bin/bash
# Compiles kind ($KIND) into $OUT/kind, and keeps the files of its base image, which the node image is made of, in $OUT/base.
set -euo pipefail
GOBIN=$OUT go install -trimpath -ldflags '-s -w' "sigs.k8s.io/kind@$KIND"
cp -r --no-preserve=mode "$(go env GOMODCACHE)/sigs.k8s.io/kind@$KIND/images/base/files" "$OUT/base"
