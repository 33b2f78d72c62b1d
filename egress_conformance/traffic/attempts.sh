# Runs in the client container under bash: sends one request after another until it is told to stop.
#
# arguments: nonce prefix, seconds to live, shortest and longest interval in ms, stats filter, what to write to stdin of
#            curl (as printf's %b takes it), curl's arguments; `{nonce}` in any of the last two becomes the attempt's
#            nonce, and what begins with `{greeting}` is written to stdin only when something was received
# stdin:     `settle` flushes the access log, prints the stats and waits; then `go` or `quit`
# stdout:    tab-separated lines: ready TIME STATS | attempt N NONCE START END EXIT WRITE-OUT HEADERS BODY |
#            settled STATS | spent; times in microseconds; with \n for a line break, \t for a tab and \\ for a
#            backslash, less carriage returns, in STATS (as Envoy sends them, the frames of HTTP's chunks between them)
#            and HEADERS; WRITE-OUT is JSON with \n for a line break in it; BODY in base64, or `=` and plain text with
#            \n and \\ as above
#
# The longer nothing changes the longer it waits between two attempts, up to a tenth of the time that has passed or the
# longest interval: what is measured in seconds need not be told to the millisecond, and attempts keep the machine busy.
#
# It starts as few processes as it can: what an attempt costs beside its request is what it costs everybody. So Envoy's
# admin port is asked by bash itself.
# Each attempt has a source port of its own, below those that the kernel gives to others. Where the kernel chose, two
# attempts with different destinations would have the same one now and then; both are redirected to the sidecar, where
# their ends would be the same, and the kernel would give the second another (see `lines_of` in attempt.py): Envoy's log
# would name a port that curl never had. It comes round after minutes, when the kernel has forgotten the first.
prefix=$1 lifetime=$2 interval=$3 longest=$4 filter=$5 input=$6
shift 6
LC_ALL=C
file=${TMPDIR:-/tmp}/$prefix
trap 'rm -f "$file".*' EXIT
trap '' PIPE # an admin port that goes away must not end the loop; that nobody reads any more is seen at the next command
escape() { # into $escaped
  escaped=${1//\\/\\\\} escaped=${escaped//$'\t'/\\t} escaped=${escaped//$'\r'/} escaped=${escaped//$'\n'/\\n}
}
ask() { # METHOD PATH of the admin port; its answer, escaped, into $escaped, "" where there is none
  local answer=
  {
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
    IFS= read -r -d '' -t 5 -u 3 answer
  } 2>/dev/null 3<>"/dev/tcp/localhost/${ADMIN_PORT:-15000}"
  [[ $answer == HTTP/1.?' 200 '* ]] || answer=
  escape "${answer#*$'\r\n\r\n'}"
}
stats() { ask GET "/stats?filter=$filter"; }
say() { # the attempt's text, once the server has spoken if it is to speak first
  local text=${input//\{nonce\}/$nonce}
  if [[ $text == '{greeting}'* ]]; then
    # Two seconds at the most, or until curl has ended without a word from the server.
    for ((tries = 0; tries < 100; tries++)); do
      [[ -s $file.body || -s $file.out ]] && break
      sleep 0.02
    done
    ((tries < 100)) || return
  fi
  printf '%b' "${text#'{greeting}'}"
}

port=0 ports_end=0 ports=${TMPDIR:-/tmp}/ports
next_port() { # the next source port, into $port; loops take them from a common file, some at a time
  if ((++port >= ports_end)); then
    { read -r port <"$ports" && ((port < 32000)) || port=16000; } 2>/dev/null
    ports_end=$((port + 16))
    { echo "$ports_end" >"$ports"; } 2>/dev/null # on a full disk curl says so
  fi
}

send() { # one attempt, its text on stdin
  curl -sS --local-port "$port-$((port + 15))" --dump-header "$file.headers" --output "$file.body" \
    --write-out '{"curl": %{json}, "certs": "%{certs}"}' "${@//\{nonce\}/$nonce}" >"$file.out" 2>/dev/null
}

body() { # what was received, of a long one the beginning
  local text
  if [[ $out =~ \"size_download\":[0-9]{6} ]]; then
    head -c 65536 "$file.body" | base64 -w0
  elif ! IFS= read -r -d '' text <"$file.body" && [[ $text != *[^[:print:]$'\n']* ]]; then
    # No NUL in it, at which read would have stopped.
    escape "$text"
    printf '=%s' "$escaped"
  else
    base64 -w0 "$file.body"
  fi
}

stats
# EPOCHREALTIME has the decimal point of the locale. Not SECONDS, which counts how often the clock passes a full second
# and so may end up to a second early.
now=${EPOCHREALTIME/[.,]/}
printf 'ready\t%s\t%s\n' "$now" "$escaped"
n=0 command= changed=$now outcome=
end_of_time=$((now + lifetime * 1000000))
while ((${EPOCHREALTIME/[.,]/} < end_of_time)); do
  n=$((n + 1)) nonce=$prefix-$((n))
  next_port
  : >"$file.headers" && : >"$file.body" && : >"$file.out"
  start=${EPOCHREALTIME/[.,]/}
  if [[ -z $input ]]; then
    send "$@" </dev/null
  else
    send "$@" < <(say 2>/dev/null)
  fi
  code=$?
  end=${EPOCHREALTIME/[.,]/}
  out=$(<"$file.out") headers=$(<"$file.headers")
  escape "$headers"
  printf 'attempt\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t' "$n" "$nonce" "$start" "$end" "$code" "${out//$'\n'/\\n}" "$escaped"
  body
  echo
  came="$code ${headers%%$'\n'*}"
  [[ $came == "$outcome" ]] || outcome=$came changed=$end
  pause=$(((end - changed) / 10))
  ((pause <= longest * 1000)) || pause=$((longest * 1000))
  ((pause >= interval * 1000)) || pause=$((interval * 1000))
  printf -v pause '%d.%06d' $((pause / 1000000)) $((pause % 1000000))
  read -r -t "$pause" part
  status=$?
  command+=$part
  # 128 and more: nothing said within the interval; anything else but 0: nobody is there any more
  ((status == 0 || status > 128)) || exit 0
  # What was read before the interval ended is the beginning of a line: keep it.
  ((status == 0)) || continue
  case $command in
    settle)
      ask POST /reopen_logs
      stats
      printf 'settled\t%s\n' "$escaped"
      read -r -t 60 command && [[ $command == go ]] || exit 0
      ;;
    quit) exit 0 ;;
  esac
  command=
done
printf 'spent\n'
