#!/usr/bin/env bash
# dist_run.sh TOOL PROCESSES ARGS...: start a Python tool of this folder on several
# processes of this machine. The other dist_*.sh call it.
#
# On several machines call it on each, with the same arguments and
#   NNODES       number of machines (default 1)
#   NODE_RANK    number of this one, from 0 (default 0)
#   MASTER_ADDR  address of machine 0 (default 127.0.0.1)
#   PORT         a free port of machine 0 (default 29500; 0 finds one, on one machine)
set -euo pipefail

tool=$1
processes=$2
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}"
if [ "${NNODES:-1}" = 1 ] && [ "${PORT:-}" = 0 ]; then
    rendezvous=(--standalone)
else
    rendezvous=(
        --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}"
        --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}")
fi
exec python -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node "$processes" \
    "$here/$tool" "$@" --launcher pytorch
