#!/bin/bash
# Compiles Kubernetes ($KUBERNETES, e.g. v1.35.0) into $OUT/kubernetes, one binary for every command (see main.go).
set -euo pipefail
cp "$HERE/main.go" "$WORK/" && cd "$WORK"
go mod download "k8s.io/kubernetes@$KUBERNETES"
source=$(go env GOMODCACHE)/k8s.io/kubernetes@$KUBERNETES
{
  # No older language version than Kubernetes' own, and the debug settings it builds with.
  printf 'module kubernetes-commands\n\n'
  grep -E '^(go|godebug) ' "$source/go.mod"
  printf 'require k8s.io/kubernetes %s\n' "$KUBERNETES"
  # Kubernetes requires its staging modules at v0.0.0 and replaces them by path: replace them by version.
  sed -nE "s#^[[:space:]]*(k8s.io/[a-z-]+) => ./staging/.*#replace \1 => \1 v0.${KUBERNETES#v1.}#p" "$source/go.mod"
} > go.mod
cp --no-preserve=mode "$source/go.sum" go.sum
v=k8s.io/component-base/version
minor=${KUBERNETES#v1.}
go build -mod=mod -trimpath -o "$OUT/kubernetes" -ldflags \
  "-s -w -X $v.gitVersion=$KUBERNETES -X $v.gitMajor=1 -X $v.gitMinor=${minor%%.*} -X $v.gitTreeState=clean" .
