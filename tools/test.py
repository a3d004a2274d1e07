"""Evaluate a detector, as mmdet's tools/test.py does."""

from __future__ import annotations

import argparse

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet.evaluation import DumpDetResults
from mmengine.config import ConfigDict
from mmengine.runner import Runner

from mmdet_facepatch.engine import (
    add_common_arguments,
    keep_freed_memory,
    load_config,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file of the detector')
    parser.add_argument('checkpoint', help='file, URL or facepatch://NAME')
    parser.add_argument('--out', help='write the detections to this .pkl file')
    parser.add_argument(
        '--tta', action='store_true',
        help='test with the image pyramid of the config (tta_pipeline)')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    cfg = load_config(args.config, options=args.cfg_options,
                      work_dir=args.work_dir, launcher=args.launcher,
                      local_rank=args.local_rank)
    cfg.load_from = args.checkpoint
    if args.tta:
        missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
        if missing:
            raise KeyError(f'--tta: {args.config} has no {" and no ".join(missing)}')
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    runner = Runner.from_cfg(cfg)
    if args.out:
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    runner.test()


if __name__ == '__main__':
    main()
