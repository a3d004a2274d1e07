#!/usr/bin/env bash
# Evaluate a detector on several processes; see dist_run.sh for several machines.
# CHECKPOINT is "none" for the black boxes of configs/blackbox, which bring their own
# weights.
set -euo pipefail
: "${3:?usage: dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]}"
config=$1
weights=("$2")
processes=$3
shift 3
if [ "${weights[0]}" = none ]; then
    weights=()
fi
exec bash "$(dirname "$0")/dist_run.sh" test.py "$processes" "$config" \
    ${weights[@]+"${weights[@]}"} "$@"
