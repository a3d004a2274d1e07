#!/usr/bin/env bash
# Tests, benchmarks and a short training on a GPU machine without network, in this
# order; results go to $OUT as they come. Needs what pack.py wrote to .gpu:
#
#   python .dev_scripts/gpu/pack.py                           # with network
#   OUT=out bash .dev_scripts/gpu/run.sh                      # repository and .gpu there
#   OUT=out DEVICE=cpu STEPS=2 bash .dev_scripts/gpu/run.sh   # try the script
#
#   DEVICE   cuda (default) or cpu, to try the script
#   MINUTES  for everything together (default 9); the training gets what is left
#   STEPS    optimiser steps of the training, at most (default 2000)
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
: "${OUT:?}"
readonly DEVICE=${DEVICE:-cuda} MINUTES=${MINUTES:-9} DATA=.gpu/WIDERFace
SCRATCH=$(mktemp -d)
readonly SCRATCH VENV=${VENV:-$SCRATCH/venv}
export FACEPATCH_DATA=$PWD/.gpu OMP_WAIT_POLICY=passive
[ "$DEVICE" = cuda ] || export FACEPATCH_CUDA_TESTS=cpu CUDA_VISIBLE_DEVICES=

say() { printf '[%d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*" |
    tee -a "$OUT/progress.txt"; }

part() {  # part NAME SECONDS COMMAND...: output and exit status go to $OUT
    local name=$1 limit=$2 status=0
    shift 2
    say "$name: $*"
    timeout "$limit" "$@" >"$OUT/$name.log" 2>&1 || status=$?
    say "$name: exit status $status"
}

# The machine's torch and torchvision, and the wheels.
[ -d "$VENV" ] || python -m venv --system-site-packages "$VENV"
readonly PYTHON=$VENV/bin/python
part install 120 "$PYTHON" -m pip install --no-index --no-deps .gpu/wheels/*.whl
part modules 30 "$PYTHON" -c "
import importlib.util as u
print('missing:', [m for m in 'cv2 scipy matplotlib pycocotools shapely yapf pytest '
                   'hypothesis rich torchvision tabulate pandas'.split() if u.find_spec(m) is None])"
export PYTHONPATH=$PWD
mkdir -p data
[ -e data/WIDERFace ] || ln -s "$PWD/$DATA" data/WIDERFace
part versions 60 "$PYTHON" -c "
import torch, mmdet_facepatch
print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name(),
      mmdet_facepatch.ops.provide_operators())"
# 1. The GPU's numbers are the CPU's.
part tests 180 "$PYTHON" -m pytest -q -m cuda tests -p no:cacheprovider
part operators 120 "$PYTHON" -m pytest -q tests/test_ops -p no:cacheprovider
# 2. Speed and memory.
part benchmark 150 "$PYTHON" .dev_scripts/benchmark.py --cores 8 \
    --parts attack compositor training operators --out "$OUT/benchmark.json"
part nccl 60 "$PYTHON" -m torch.distributed.run --standalone --nproc_per_node 1 \
    tools/attack.py configs/attack/patch_combination.py --launcher pytorch \
    --work-dir "$SCRATCH/nccl" --no-report --cfg-options train_cfg.max_epochs=1
# 3. A full-width ResNet-18 SLN with the time that is left.
left=$((MINUTES * 60 - SECONDS - 30))
limit=(train_cfg.max_iters="${STEPS:-2000}")
part train "$((left > 60 ? left : 60))" "$PYTHON" tools/train.py \
    configs/sln_r18_widerface_subset.py --amp --work-dir "$SCRATCH/train" --overwrite \
    --cfg-options model.backbone.init_cfg=None "${limit[@]}" \
    default_hooks.checkpoint.interval=200
last=$(ls -t "$SCRATCH"/train/*.pth 2>/dev/null | head -n 1)
[ -z "$last" ] || "$PYTHON" -c "
import sys, torch
from mmdet_facepatch.utils.safe_loading import read_checkpoint
state = read_checkpoint(sys.argv[1], 'cpu')['state_dict']
torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()},
           sys.argv[2])" "$last" "$OUT/sln_r18_half.pth"
cp "$SCRATCH"/train/*/vis_data/scalars.json "$OUT/train_scalars.json" 2>/dev/null
say "done"
