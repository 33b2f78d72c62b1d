#!/bin/bash
# What a Job runs: `run` with these arguments, then the ledger on standard output, as a pod takes its files with it.
# scripts/ledgers reads it from there. In an indexed Job with SHARDS set each pod runs its share of the cases.
set -uo pipefail
if [[ -n ${SHARDS:-} ]]; then
  set -- --shard "$((JOB_COMPLETION_INDEX + 1))/$SHARDS" "$@"
fi

# Process 1 must pass SIGTERM on, or what the run changed would not be put back when the Job is deleted.
python3 -m egress_conformance run "$@" &
suite=$!
trap 'kill -TERM "$suite"' TERM
wait "$suite"
code=$?
while kill -0 "$suite" 2>/dev/null; do # the signal ended the wait, not the run
  wait "$suite"
  code=$?
done

if [[ -f reports/latest/ledger.json ]]; then
  echo "-----BEGIN LEDGER-----"
  gzip --stdout reports/latest/ledger.json | base64
  echo "-----END LEDGER-----"
fi
exit $code
