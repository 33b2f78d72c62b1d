# Runs in the client container under bash: one curl that sends many requests, one after another, until it is stopped.
#
# arguments: nonce prefix, how many, curl's arguments; the last is a URL with `{nonce}` where each request's number goes
# stdin:     a line, or its end, stops it; while nothing is said all of them are sent
# stdout:    started | a line for each request: STATUS EXIT SECONDS CONNECTS URL | ended EXIT and curl's last words
prefix=$1 times=$2
shift 2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
url=${!#} url=${url//\{nonce\}/$prefix-[1-$times]}
set -- "${@:1:$#-1}"
# Line by line: what is still in a buffer when curl is stopped would be lost. The number of a request stands in its URL;
# `urlnum` is the same for all that a range makes.
stdbuf -oL curl -sS --output /dev/null --write-out '%{http_code} %{exitcode} %{time_total} %{num_connects} %{url}\n' \
  "$@" "$url" >"$folder/lines" 2>"$folder/errors" &
curl=$!
echo started
# Also when nobody is there any more: requests that nobody knows of would be another case's strays. Without the trap: a
# subshell that is killed would remove the folder. TERM, as INT is ignored by what a script runs in the background.
(trap - EXIT; read -r _; kill "$curl" 2>/dev/null) <&0 &
listener=$!
wait "$curl"
code=$?
kill "$listener" 2>/dev/null
curl -sS --max-time 5 -X POST http://localhost:15000/reopen_logs >/dev/null
cat "$folder/lines"
echo "ended $code $(tail -c 300 "$folder/errors" | tr '\n' ' ')"
