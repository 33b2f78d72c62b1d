# Runs in the client container under bash: asks the pod's first name server one DNS question, as any application would.
#
# arguments: udp or tcp, seconds to wait for the answer, the question on the wire in base64
# stdout:    three lines: the counters of the sidecar's DNS proxy before | the answer in base64 | the counters after
transport=$1 seconds=$2 question=$3
server=$(awk '$1 == "nameserver" {print $2; exit}' /etc/resolv.conf)
counters() {
  curl -sS --max-time 5 http://localhost:15020/stats/prometheus \
    | awk '/^istio_agent_dns_(upstream_)?requests_total/ {printf "%s %d ", $1, $2} END {print ""}'
}
ask() {
  exec 3<>"/dev/$transport/$server/53" || return
  base64 -d <<<"$question" >&3
  # A datagram is read in one go; over TCP its length comes first (RFC 1035, section 4.2.2).
  if [[ $transport == tcp ]]; then
    read -r high low < <(timeout "$seconds" head -c 2 <&3 | od -An -tu1)
    timeout "$seconds" head -c $((high * 256 + low)) <&3
  else
    timeout "$seconds" dd bs=65535 count=1 status=none <&3
  fi
}

counters
ask | base64 -w0
echo
counters
