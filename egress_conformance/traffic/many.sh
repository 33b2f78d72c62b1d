# Runs in the client container under bash: one curl that sends many requests, one after another, until it is stopped.
#
# arguments: nonce prefix, how many, curl's arguments; the last is a URL with `{nonce}` where each request's number goes
# stdin:     `stop`, or nothing: then all of them are sent
# stdout:    started | a line for each request: NUMBER STATUS EXIT MICROSECONDS CONNECTS LOCAL_PORT | ended EXIT
prefix=$1 times=$2
shift 2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
url=${!#} url=${url//\{nonce\}/$prefix-[1-$times]}
set -- "${@:1:$#-1}"
# Line by line: what is still in a buffer when curl is stopped would be lost.
stdbuf -oL curl -sS --output /dev/null --write-out '%{urlnum} %{http_code} %{exitcode} %{time_total} %{num_connects} %{local_port}\n' \
  "$@" "$url" >"$folder/lines" 2>"$folder/errors" &
curl=$!
echo started
(read -r _ && kill -INT "$curl" 2>/dev/null) <&0 &
listener=$!
wait "$curl"
code=$?
kill "$listener" 2>/dev/null
curl -sS --max-time 5 -X POST http://localhost:15000/reopen_logs >/dev/null
cat "$folder/lines"
echo "ended $code $(tail -c 300 "$folder/errors" | tr '\n' ' ')"
