#!/bin/bash
# Runs on a node: gives its pods addresses of its own subnet, and routes to the pods of other nodes.
#   network.sh SUBNET [SUBNET,ADDRESS of another node ...]
set -euo pipefail
subnet=$1
shift
config=/etc/cni/net.d/10-pods.conflist
new=$(jq --arg subnet "$subnet" '.plugins[0].ipam.ranges = [[{subnet: $subnet}]]' "$config")
# The container runtime reads the file again when it changes.
[[ $new == "$(jq . "$config")" ]] || printf '%s\n' "$new" > "$config"
for other in "$@"; do
  ip route replace "${other%,*}" via "${other#*,}"
done
