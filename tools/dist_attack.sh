#!/usr/bin/env bash
# Optimise a patch and report on it on several processes; see dist_run.sh for several machines.
set -euo pipefail
: "${2:?usage: dist_attack.sh CONFIG PROCESSES [arguments of tools/attack.py]}"
config=$1
processes=$2
shift 2
exec bash "$(dirname "$0")/dist_run.sh" attack.py "$processes" "$config" "$@"
