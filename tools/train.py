"""Train a detector, as mmdet's tools/train.py does."""

from __future__ import annotations

import argparse

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet_facepatch.engine import (
    add_common_arguments,
    add_steps_argument,
    build_runner,
    claim_work_dir,
    load_config,
    preflight,
    run_tool,
    set_steps,
)
from mmdet_facepatch.utils.memory import keep_freed_memory


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--amp', action='store_true', help='train with automatic mixed precision'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size',
    )
    add_steps_argument(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from CHECKPOINT, or from the last one in the work dir',
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    cfg = load_config(
        args.config,
        options=args.cfg_options,
        work_dir=args.work_dir,
        launcher=args.launcher,
        local_rank=args.local_rank,
        resume=args.resume,
        amp=args.amp,
    )
    if args.steps is not None:
        set_steps(cfg, args.steps)
    if args.auto_scale_lr:
        cfg.setdefault('auto_scale_lr', {}).enable = True
    with claim_work_dir(cfg, ['train'], args.overwrite):
        runner = build_runner(cfg)
        preflight(runner, train=True)
        runner.train()


if __name__ == '__main__':
    run_tool(main)
