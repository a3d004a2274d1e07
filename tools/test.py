"""Evaluate a detector, as mmdet's tools/test.py does."""

from __future__ import annotations

import argparse

from mmdet.evaluation import DumpDetResults
from mmengine.config import ConfigDict, DictAction
from mmengine.runner import Runner

from mmdet_facepatch.engine import load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file of the detector')
    parser.add_argument('checkpoint', help='file, URL or facepatch://NAME')
    parser.add_argument('--work-dir', help='folder for logs and metrics')
    parser.add_argument('--out', help='write the detections to this .pkl file')
    parser.add_argument(
        '--tta', action='store_true',
        help='test with the image pyramid of the config (tta_pipeline)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={},
        help='override config keys: key=value ...')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, options=args.cfg_options,
                      work_dir=args.work_dir, launcher=args.launcher)
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
