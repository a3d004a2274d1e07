"""Evaluate a detector, as mmdet's tools/test.py does.

Writes into the work dir: report.json, report.md, curves.npz, plots/ and, if
wanted, predictions/ and pictures of the detections.
"""

from __future__ import annotations

import argparse

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet.evaluation import DumpDetResults
from mmengine.config import ConfigDict

from mmdet_facepatch.engine import (
    add_common_arguments,
    build_runner,
    claim_work_dir,
    draw_detections,
    load_config,
    preflight,
    run_tool,
    set_report_option,
)
from mmdet_facepatch.models import check_checkpoint
from mmdet_facepatch.utils.memory import keep_freed_memory


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the detector')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='file, URL or facepatch://NAME; none for the black boxes of '
        'configs/blackbox, which bring their own weights',
    )
    parser.add_argument(
        '--save-predictions',
        choices=['npz', 'txt'],
        help='write the detections too: one .npz with margins, or a folder in '
        "WIDER FACE's text format",
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test with the image pyramid of the config (tta_pipeline)',
    )
    parser.add_argument('--out', help='dump the detections to this .pkl file too')
    parser.add_argument(
        '--show', action='store_true', help='show detections in windows'
    )
    parser.add_argument(
        '--show-dir',
        help='save pictures of the detections in this folder of WORK_DIR/TIMESTAMP',
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that a window stays open'
    )
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        parser.error(f'--out {args.out}: the file must end with .pkl or .pickle')
    return args


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    cfg = load_config(
        args.config,
        options=args.cfg_options,
        work_dir=args.work_dir,
        launcher=args.launcher,
        local_rank=args.local_rank,
    )
    cfg.load_from = args.checkpoint
    if args.tta:
        missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
        if missing:
            raise KeyError(f'--tta: {args.config} has no {" and no ".join(missing)}')
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    if args.show or args.show_dir:
        draw_detections(cfg, args.show, args.show_dir, args.wait_time)
    if args.save_predictions:
        set_report_option(cfg, 'predictions', args.save_predictions)
    with claim_work_dir(cfg, ['report'], args.overwrite):
        runner = build_runner(cfg)
        check_checkpoint(runner.model, args.checkpoint, args.config)
        if args.out:
            runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
        preflight(runner, test=True)
        runner.test()


if __name__ == '__main__':
    run_tool(main)
