#!/bin/bash
# Compiles Istio ($MODULE of istio.io/istio, which calls itself $VERSION): pilot-discovery, pilot-agent, istioctl and the
# CNI node agent, with the build tags of Istio's own Makefile; and keeps the template of Envoy's bootstrap. All of it into
# $OUT.
set -euo pipefail
cd "$WORK"
go mod download "istio.io/istio@$MODULE"
source=$(go env GOMODCACHE)/istio.io/istio@$MODULE
{
  printf 'module istio-build\n\n'
  grep -E '^go ' "$source/go.mod"
  printf 'require istio.io/istio %s\n' "$MODULE"
  while read -r require; do [[ -z "$require" ]] || printf 'require %s\n' "$require"; done <<< "$REQUIRES"
} > go.mod
# Istio's own sums first: the checksum database has no entry for some of its indirect modules.
cp --no-preserve=mode "$source/go.sum" go.sum
v=istio.io/istio/pkg/version
flags="-s -w -X $v.buildVersion=$VERSION -X $v.buildTag=$VERSION -X $v.buildHub=$HUB"
flags+=" -X $v.buildGitRevision=${MODULE##*-} -X $v.buildStatus=Clean"
go build -mod=mod -trimpath -tags vtprotobuf,disable_pgv -ldflags "$flags" -o "$OUT/" \
  istio.io/istio/pilot/cmd/pilot-discovery istio.io/istio/istioctl/cmd/istioctl
go build -mod=mod -trimpath -tags agent,disable_pgv,grpcnotrace,retrynotrace -ldflags "$flags" -o "$OUT/" \
  istio.io/istio/pilot/cmd/pilot-agent istio.io/istio/cni/cmd/install-cni istio.io/istio/cni/cmd/istio-cni
install -m 644 "$source/tools/packaging/common/envoy_bootstrap.json" "$OUT/envoy_bootstrap_tmpl.json"
