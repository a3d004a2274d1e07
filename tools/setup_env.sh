#!/usr/bin/env bash
# Sets up all that this package needs, in .venv of the checkout, without a compiler:
#
#   bash tools/setup_env.sh            to run it
#   bash tools/setup_env.sh --tests    to run its tests as well
#
# Each step leaves a stamp of what it installed in .venv/.facepatch: a second run skips
# all of them, and a run after an interrupted one goes on where that stopped.
#
#   FACEPATCH_OPS     "compiled" compiles mmcv's operators, 10 to 15 minutes on two
#                     cores; by default mmdet_facepatch/ops stands in for them
#   FACEPATCH_STACK   "onedl" (default), the maintained forks, or "openmmlab", the
#                     original distributions
#   FACEPATCH_PYTHON  the Python to use (default: the first of python3.11, 3.12, 3.13,
#                     3.10, python3 that is at least 3.10 and can make environments)
#   FACEPATCH_TORCH   the release of torch (default: 2.13.0)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly ROOT=$PWD VENV=.venv STATE=.venv/.facepatch
readonly PYTHON=$VENV/bin/python
readonly TORCH="torch==${FACEPATCH_TORCH:-2.13.0}"
readonly BUILD_TOOLS=('setuptools<81' wheel numpy)
readonly OPS=${FACEPATCH_OPS:-none} STACK=${FACEPATCH_STACK:-onedl}

fail_usage() { echo "setup_env.sh: $*" >&2; exit 2; }

case "$STACK" in
    onedl)
        MMENGINE='onedl-mmengine==0.10.12'
        MMCV='onedl-mmcv==2.3.6'
        MMDET='onedl-mmdetection==3.5.1' ;;
    openmmlab)
        MMENGINE='mmengine==0.10.7'
        MMCV='mmcv-lite==2.1.0'
        MMDET='mmdet==3.3.0' ;;
    *) fail_usage "FACEPATCH_STACK=$STACK is neither onedl nor openmmlab" ;;
esac
case "$OPS" in
    none) ;;
    compiled) MMCV=${MMCV/mmcv-lite/mmcv} ;;
    *) fail_usage "FACEPATCH_OPS=$OPS: it can only be 'compiled', or not be set" ;;
esac

WITH_TESTS=no
TOTAL=6
case "${1-}" in
    '') ;;
    --tests) WITH_TESTS=yes; TOTAL=7 ;;
    *) fail_usage "unknown option '$1' (there is only --tests)" ;;
esac

say() { printf '[%d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }

fail() { say "$*" >&2; exit 1; }

usable() {  # Is $1 a Python that can be used?
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' \
        >/dev/null 2>&1
}

find_python() {
    local candidate
    if [ -n "${FACEPATCH_PYTHON-}" ]; then
        usable "$FACEPATCH_PYTHON" || fail "FACEPATCH_PYTHON=$FACEPATCH_PYTHON is not" \
            "a Python of at least 3.10 with the modules venv and ensurepip."
        echo "$FACEPATCH_PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3.10 python3 python; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "No Python of at least 3.10 with the modules venv and ensurepip was found." \
        "Install one (Debian, Ubuntu: apt-get install python3 python3-venv python3-dev)" \
        "or name it in FACEPATCH_PYTHON."
}

# Shows, while a command runs, that it does: how long, and how far the compiler is.
heartbeat() {
    local log=$1 begin=$SECONDS elapsed compiled
    while sleep 15 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        elapsed=$((SECONDS - begin))
        [ $((elapsed % 30)) -lt 15 ] || continue
        compiled=$(tail -n 50 "$log" | sed -n 's/^ *\[\([0-9]*\/[0-9]*\)\].*/\1/p' |
            tail -n 1)
        say "      still installing${compiled:+, $compiled files compiled}"
    done
}

# logged NAME COMMAND...: output goes to a log file, whose end is shown on failure.
logged() {
    local log=$STATE/$1.log watcher status=0
    shift
    heartbeat "$log" 9>&- &
    watcher=$!
    "$@" >"$log" 2>&1 || status=$?
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    if [ "$status" -ne 0 ]; then
        tail -n 30 "$log" >&2
        say "Failed (status $status): $*" >&2
        say "The whole output is in $log; the next run goes on from this step." >&2
    fi
    return "$status"
}

pip_install() {  # pip_install NAME ARGUMENTS...
    local name=$1
    shift
    logged "$name" "$PYTHON" -m pip --disable-pip-version-check install \
        --constraint "$STATE/constraints.txt" "$@"
}

# A stamp holds a checksum of everything up to and with its step: if torch changes,
# what was compiled against it is made anew.
FINGERPRINT=''
NUMBER=0
step() {  # step NAME TITLE WHAT...: calls do_NAME unless its stamp says it is done
    local name=$1 title=$2 stamp=$STATE/$1.stamp checksum
    shift 2
    NUMBER=$((NUMBER + 1))
    FINGERPRINT="$FINGERPRINT|$*"
    checksum=$(printf '%s' "$FINGERPRINT" | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$checksum" ]; then
        return
    fi
    say "[$NUMBER/$TOTAL] $title"
    rm -f "$stamp"
    "do_$name"
    printf '%s\n' "$checksum" >"$stamp"
}

do_tools() {
    pip_install tools "${BUILD_TOOLS[@]}"
}

do_torch() {
    : >"$STATE/constraints.txt"
    pip_install torch "$TORCH"
    # What follows must not replace this torch.
    printf '%s\nsetuptools<81\n' "$TORCH" >"$STATE/constraints.txt"
}

do_mmengine() {
    pip_install mmengine "$MMENGINE"
}

ensure_opencv() {  # mmcv asks for the wheel that needs libraries of a desktop.
    local version
    "$PYTHON" -c 'import cv2' >"$STATE/opencv.log" 2>&1 && return
    say "      OpenCV does not load here ($(tail -n 1 "$STATE/opencv.log")):" \
        "taking its headless build."
    version=$("$PYTHON" -c 'from importlib.metadata import version
print(version("opencv-python"))')
    logged opencv "$PYTHON" -m pip uninstall -y opencv-python
    pip_install opencv --force-reinstall --no-deps "opencv-python-headless==$version"
    "$PYTHON" -c 'import cv2'
}

do_mmcv() {
    # A wheel that pip has kept may be of the other kind or for another torch: none is
    # taken, and none is kept. What is installed may be of the other kind, too.
    "$PYTHON" -m pip uninstall -y mmcv mmcv-lite onedl-mmcv >"$STATE/mmcv-old.log" 2>&1
    if [ "$OPS" = none ]; then
        # Built in isolation, where it sees no torch, mmcv leaves its operators out.
        MMCV_WITH_OPS=0 pip_install mmcv --no-cache-dir "$MMCV"
    else
        say "      Its operators are compiled now: 10 to 15 minutes on two cores."
        pip_install ninja ninja
        # Without a GPU in sight mmcv would leave CUDA out.
        if "$PYTHON" -c 'import torch; raise SystemExit(not torch.version.cuda)'; then
            export FORCE_CUDA=1
        fi
        MMCV_WITH_OPS=1 pip_install mmcv --verbose --no-build-isolation \
            --no-cache-dir "$MMCV" || compiler_hint
    fi
    ensure_opencv
}

compiler_hint() {
    command -v c++ >/dev/null || command -v g++ >/dev/null ||
        say "There is no C++ compiler (Debian, Ubuntu: apt-get install g++)." >&2
    "$PYTHON" -c 'import os, sysconfig as s
raise SystemExit(not os.path.exists(os.path.join(s.get_path("include"), "Python.h")))' ||
        say "There is no Python.h (Debian, Ubuntu: apt-get install python3-dev)." >&2
    exit 1
}

do_mmdet() {
    pip_install mmdet "$MMDET"
    ensure_opencv
}

do_package() {
    pip_install package --no-build-isolation --editable '.[embedded]'
    # Says in full what does not fit, if anything does not.
    "$PYTHON" -c 'import mmdet_facepatch
print(mmdet_facepatch.ops.provide_operators().name)' >"$STATE/import.log" 2>&1 || {
        tail -n 30 "$STATE/import.log" >&2
        fail "The package does not import."
    }
    [ "$OPS" = none ] || [ "$(tail -n 1 "$STATE/import.log")" = compiled ] ||
        fail "mmcv has no compiled operators: see $STATE/mmcv.log"
}

do_tests() {
    pip_install tests --no-build-isolation --editable '.[embedded,tests]'
}

# --- here it begins -----------------------------------------------------------------

exec 9>"$VENV.lock"
if command -v flock >/dev/null && ! flock --nonblock 9; then
    say "Another set-up of this checkout is running; waiting for it."
    flock 9
fi

if [ -e "$VENV" ] && [ ! -d "$STATE" ]; then
    fail "$ROOT/$VENV exists, but was not made by this script: move it away first."
fi
if [ -d "$VENV" ] && [ -e "$STATE/made" ] && ! usable "$PYTHON"; then
    say "The Python under $VENV is gone; making the environment anew."
    rm -rf "$VENV"
fi
if [ -e "$STATE/stack" ] && [ "$(cat "$STATE/stack")" != "$STACK" ]; then
    fail "$ROOT/$VENV has the stack $(cat "$STATE/stack"), not $STACK: remove it first."
fi
if [ ! -e "$STATE/made" ]; then
    FOUND=$(find_python)
    say "Making $VENV with $("$FOUND" --version) ($(command -v "$FOUND"))"
    mkdir -p "$STATE"
    logged venv "$FOUND" -m venv "$VENV"
    : >"$STATE/constraints.txt"
    echo "$STACK" >"$STATE/stack"
    "$PYTHON" --version >"$STATE/made"
fi

PACKAGING=$(cat setup.py setup.cfg | cksum)
TITLE=$MMCV
[ "$OPS" = none ] || TITLE="$MMCV, with compiled operators"
step tools 'setuptools, wheel, numpy' "$(cat "$STATE/made")" "${BUILD_TOOLS[@]}"
step torch "$TORCH" "$TORCH"
step mmengine "$MMENGINE" "$MMENGINE"
step mmcv "$TITLE" "$MMCV" "$OPS"
step mmdet "$MMDET" "$MMDET"
step package 'this package, editable' "$ROOT" "$PACKAGING"
if [ "$WITH_TESTS" = yes ]; then
    step tests 'what the tests need' tests
fi
say "The environment in $VENV is ready."
