#!/usr/bin/env bash
# The default attack on the embedded data: sets up what is missing, then optimises a patch
# against the shipped detector. Options are passed on to tools/attack.py.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
exec .venv/bin/python tools/attack.py configs/attack/patch_combination.py "$@"
