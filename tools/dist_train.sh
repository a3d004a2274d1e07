#!/usr/bin/env bash
# Train a detector on several processes; see dist_run.sh for several machines.
set -euo pipefail
: "${2:?usage: dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]}"
config=$1
processes=$2
shift 2
exec bash "$(dirname "$0")/dist_run.sh" train.py "$processes" "$config" "$@"
