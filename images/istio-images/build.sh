#!/bin/bash
# Images $IMAGES, pilot, proxyv2 and install-cni, from the compiled Istio in $ISTIO and the Envoy in $ENVOY.
set -euo pipefail
for image in $IMAGES; do
  name=${image##*/} name=${name%%:*}
  case $name in
    pilot) files=("$ISTIO/pilot-discovery") ;;
    proxyv2) files=("$ISTIO/pilot-agent" "$ISTIO/envoy_bootstrap_tmpl.json" "$ENVOY/envoy") ;;
    install-cni) files=("$ISTIO/install-cni" "$ISTIO/istio-cni") ;;
  esac
  mkdir "$WORK/$name"
  cp "${files[@]}" "$WORK/$name/"
  docker build --quiet --build-arg "DEBIAN_BASE=$DEBIAN_BASE" --tag "$image" --file "$HERE/$name.Dockerfile" "$WORK/$name"
done
