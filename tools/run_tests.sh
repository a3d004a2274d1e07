#!/usr/bin/env bash
# Sets up what is missing, then checks style and types and runs the tests. Options are
# passed on to pytest: bash tools/run_tests.sh -k patch
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh --tests
.venv/bin/python -m ruff check .
.venv/bin/python -m ruff format --check .
.venv/bin/python -m mypy
# Tests of a file stay in one process: tests/conftest.py.
exec .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile "$@"
