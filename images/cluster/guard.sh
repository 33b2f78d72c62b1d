#!/bin/bash
# Runs on a node: counts and refuses what pods send to anywhere but pods and nodes.
#   guard.sh POD_SUBNET SERVICE_SUBNET ADDRESS of each node ...
# Without arguments, prints how many packets were refused so far.
set -euo pipefail
chain=EGRESS-GUARD
families=(iptables)
[[ ! -s /proc/net/if_inet6 ]] || families+=(ip6tables)

if (($# == 0)); then
  for family in "${families[@]}"; do
    $family --wait --table filter --numeric --verbose --exact --list $chain
  done | awk '/egress conformance: escaped/ {packets += $1; seen = 1} END {if (!seen) exit 1; print packets}'
  exit
fi

pods=$1 services=$2
shift 2
escaped=(--match comment --comment "egress conformance: escaped" --jump REJECT)
for family in "${families[@]}"; do
  rule() { $family --wait --table filter "$@"; }
  if rule --list $chain > /dev/null 2>&1; then continue; fi
  rule --new-chain $chain
  # Pods may answer whoever reached them.
  rule --append $chain --match conntrack --ctdir REPLY --ctstate ESTABLISHED,RELATED --jump RETURN
  case $family in
    iptables)
      # The API server is on one, which on the others is elsewhere.
      for node in "$@"; do rule --append $chain --destination "$node" --jump RETURN; done
      # A service without that port: nobody is there, but its address is the cluster's.
      rule --append $chain --destination "$services" --jump REJECT
      rule --append $chain "${escaped[@]}" --reject-with icmp-admin-prohibited
      rule --insert FORWARD --source "$pods" ! --destination "$pods" --jump $chain
      ;;
    ip6tables) # pods have no IPv6 addresses
      rule --append $chain "${escaped[@]}" --reject-with icmp6-adm-prohibited
      rule --insert FORWARD --jump $chain
      ;;
  esac
done
