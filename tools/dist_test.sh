#!/usr/bin/env bash
# Evaluate a detector on several processes; see dist_run.sh for several machines.
set -euo pipefail
: "${3:?usage: dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]}"
config=$1
checkpoint=$2
processes=$3
shift 3
exec bash "$(dirname "$0")/dist_run.sh" test.py "$processes" "$config" "$checkpoint" "$@"
