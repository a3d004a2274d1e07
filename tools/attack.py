"""Optimise a universal patch and report what it does to the detector.

Writes into the work dir: patch.png and patch.npy, the patch over the epochs
(patches/), checkpoints, report.json, report.md, curves.npz, plots/ and pictures/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet_facepatch.engine import (
    add_common_arguments,
    add_steps_argument,
    build_runner,
    claim_work_dir,
    complete_pipelines,
    data_config,
    load_config,
    preflight,
    report_on,
    run_tool,
    set_report_option,
    set_steps,
)
from mmdet_facepatch.utils.memory import keep_freed_memory

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='attack config')
    parser.add_argument(
        '--data',
        metavar='NAME',
        help="images in place of the config's: embedded, widerface_subset, widerface, "
        'or a config file with the dataloaders',
    )
    parser.add_argument(
        '--pyramid',
        type=float,
        nargs='+',
        metavar='SCALE',
        help='report on an image pyramid of these scales, as the paper does, in place '
        "of the detector's own test pipeline",
    )
    add_steps_argument(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from CHECKPOINT, or from the last one in the work dir',
    )
    parser.add_argument(
        '--no-report',
        action='store_true',
        help='only optimise; report later with --report-only',
    )
    parser.add_argument(
        '--report-only',
        metavar='PATCH',
        nargs='?',
        const='',
        help="optimise nothing; report on this patch file in place of the work dir's "
        'patch.npy',
    )
    parser.add_argument(
        '--save-predictions',
        choices=['npz', 'txt'],
        help='write the detections of every condition too',
    )
    parser.add_argument(
        '--amp', action='store_true', help='optimise with automatic mixed precision'
    )
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.no_report and args.report_only is not None:
        parser.error('--no-report and --report-only together leave nothing to do')
    return args


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    overlay = data_config(args.data, CONFIGS) if args.data else None
    cfg = load_config(
        args.config,
        options=args.cfg_options,
        work_dir=args.work_dir,
        launcher=args.launcher,
        local_rank=args.local_rank,
        resume=args.resume,
        amp=args.amp,
        overlay=overlay,
        overlay_name=f'--data {args.data}',
    )
    if args.steps is not None:
        set_steps(cfg, args.steps)
    if args.pyramid:
        cfg.pyramid = args.pyramid
    complete_pipelines(cfg)
    if args.report_only is not None and args.resume is None:
        report_on(cfg, args.report_only or None)
    if args.save_predictions:
        set_report_option(cfg, 'predictions', args.save_predictions)
    train, report = args.report_only is None, not args.no_report
    purposes = ['train'] * train + ['report'] * report
    with claim_work_dir(cfg, purposes, args.overwrite):
        runner = build_runner(cfg)
        preflight(runner, train=train, test=report)
        if train:
            runner.train()
        if report:
            runner.test()


if __name__ == '__main__':
    run_tool(main)
