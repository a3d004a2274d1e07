"""Evaluate saved detections of any detector by WIDER FACE's protocol.

Predictions are a folder of text files in WIDER FACE's format (one a image:
name, count, then ``x y w h score`` a line) or an .npz as tools/test.py and
tools/attack.py write it with --save-predictions. Several are compared with the
first, the reference: its calibrated delta and range of AF_beta are used for all, and
differences have intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet_facepatch.engine import add_debug_argument, run_tool, write_report
from mmdet_facepatch.evaluation import (
    EvaluationSettings,
    FaceEvaluation,
    ImageFaces,
    Reference,
    evaluate_faces,
    load_faces,
    load_predictions,
    load_report,
    to_records,
)
from mmdet_facepatch.utils.memory import keep_freed_memory
from mmdet_facepatch.utils.wider_annotation import read_image_list

DEFAULTS = EvaluationSettings()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'predictions',
        nargs='+',
        metavar='[NAME=]PATH',
        help='folder of text files, or .npz; NAME is its row in the tables',
    )
    parser.add_argument(
        '--gt',
        required=True,
        help="faces: folder with WIDER FACE's official .mat files (easy, medium, hard "
        'and all), its annotation text, or a COCO .json (all)',
    )
    parser.add_argument(
        '--images',
        metavar='FILE',
        help='evaluate only the images that this file lists, one path a line',
    )
    parser.add_argument(
        '--out',
        default='work_dirs/eval_predictions',
        help='folder for report.json, report.md, curves.npz, plots/',
    )
    parser.add_argument(
        '--deltas',
        nargs='+',
        type=float,
        default=DEFAULTS.deltas,
        help='score thresholds',
    )
    parser.add_argument(
        '--betas', nargs='+', type=float, default=DEFAULTS.betas, help='of F_beta'
    )
    parser.add_argument(
        '--margin-range',
        nargs=2,
        type=float,
        default=DEFAULTS.margin_range,
        metavar=('LOW', 'HIGH'),
        help="thresholds of AF_beta over s, in place of the reference's lowest and "
        'highest',
    )
    parser.add_argument(
        '--height-edges',
        nargs='*',
        type=float,
        default=DEFAULTS.height_edges,
        help='edges between bands of face height, in pixels',
    )
    parser.add_argument(
        '--face-iou-thr',
        type=float,
        default=DEFAULTS.face_iou_thr,
        help='least IoU at which a detection is of a face; lower than the '
        "protocol's, boxes that a patch has moved count as found",
    )
    parser.add_argument(
        '--reference',
        metavar='REPORT',
        help='report.json whose first condition is the reference, as of clean images, '
        'in place of the first predictions',
    )
    parser.add_argument(
        '--bootstrap',
        type=int,
        default=DEFAULTS.bootstrap,
        help='replicates behind the intervals; 0 for none',
    )
    parser.add_argument(
        '--seed', type=int, default=DEFAULTS.seed, help='of the bootstrap'
    )
    add_debug_argument(parser)
    return parser.parse_args()


def named_paths(arguments: Iterable[str]) -> dict[str, str]:
    """Path of predictions by name: NAME=PATH, or an existing path's last part.

    Raises:
        ValueError: If two have the same name.
    """
    found: dict[str, str] = {}
    for argument in arguments:
        name, given, path = argument.partition('=')
        if not given or not name or Path(argument).exists():
            name, path = Path(argument).stem, argument
        if name in found:
            raise ValueError(
                f'{found[name]} and {path} are both named {name!r}; write NAME=PATH'
            )
        found[name] = path
    return found


def select_images(
    faces: Mapping[str, ImageFaces], listed: str
) -> dict[str, ImageFaces]:
    """Faces of the images that a list names.

    Raises:
        ValueError: If a listed image is not annotated.
    """
    lines = {
        str(Path(name).with_suffix('')): line
        for name, line in read_image_list(listed).items()
    }
    unknown = [img_id for img_id in lines if img_id not in faces]
    if unknown:
        raise ValueError(
            f'{listed}, line {lines[unknown[0]]}: {len(unknown)} of '
            f'{len(lines)} images are not annotated, the first is '
            f'{unknown[0]}'
        )
    return {img_id: faces[img_id] for img_id in lines}


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    settings = EvaluationSettings(
        deltas=tuple(args.deltas),
        betas=tuple(args.betas),
        margin_range=args.margin_range and tuple(args.margin_range),
        height_edges=tuple(args.height_edges),
        face_iou_thr=args.face_iou_thr,
        bootstrap=args.bootstrap,
        seed=args.seed,
    )
    annotated = load_faces(args.gt)
    faces = select_images(annotated, args.images) if args.images else annotated
    reference = None
    if args.reference:
        first = next(iter(load_report(args.reference)['conditions'].values()))
        reference = Reference.from_numbers(first['numbers'])
    evaluations: dict[str, FaceEvaluation] = {}
    for name, path in named_paths(args.predictions).items():
        records = to_records(load_predictions(path), faces, path)
        evaluations[name] = evaluate_faces(records, settings, reference)
        evaluations[name].data['annotated_images'] = len(annotated)
        reference = reference or evaluations[name].reference
        for warning in evaluations[name].warnings():
            print(f'{name}: {warning}')
    protocol = dict(
        ground_truth=args.gt,
        images=args.images,
        predictions=named_paths(args.predictions),
    )
    print(write_report(args.out, evaluations, protocol))
    print(f'\nreport.json, report.md, curves.npz and plots are in {args.out}')


if __name__ == '__main__':
    run_tool(main)
