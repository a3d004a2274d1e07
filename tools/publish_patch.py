"""Publish finished patches: picture, exact pixels, and a manifest.

Writes NAME.png, NAME.npy and NAME.json. The manifest has the attack's config; SHA-256
digests of the detector's weights, the data and the files; seed, steps, seconds,
versions, the command, and the report's main numbers. Reading the patch checks its
digest.

    python tools/publish_patch.py work_dirs/patch_iou patches/patch_iou
    python tools/publish_patch.py --out DIR \\
        --experiment configs/experiments/zoo_patches.py
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet_facepatch.engine import table_folder
from mmdet_facepatch.engine.manifest import portable
from mmdet_facepatch.results import (
    patch_manifest,
    publish_experiment,
    publish_patch,
    report_numbers,
    run_config,
)

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', nargs='?', help='work dir of a finished attack')
    parser.add_argument('name', nargs='?', type=Path,
                        help='files to write, without suffix')
    parser.add_argument('--report', help="report.json of the patch; by default the "
                        "work dir's own, if it has one")
    parser.add_argument('--command', help='that makes the patch again; by default '
                        'tools/attack.py with the config that is in the work dir')
    parser.add_argument('--experiment', metavar='CONFIG',
                        help='publish all finished attacks of an experiment')
    parser.add_argument('--data', default='subset', help='data of the experiment')
    parser.add_argument('--work-dir', default='work_dirs/experiments',
                        help='folder of all experiments')
    parser.add_argument('--out', default='patches', help='where to write them')
    args = parser.parse_args()
    if bool(args.experiment) == bool(args.folder and args.name):
        parser.error('give the work dir of an attack and a name, or --experiment')
    return args


def publish_one(args: argparse.Namespace) -> list[Path]:
    """Publish the patch of one work dir."""
    folder = Path(args.folder)
    report = Path(args.report or folder / 'report.json')
    numbers = report_numbers(report) if args.report or report.is_file() else None
    config = portable(Path(run_config(folder).filename).absolute(), ROOT)
    command = args.command or shlex.join(['python', 'tools/attack.py', config])
    manifest = patch_manifest(folder, ROOT, command, numbers)
    return publish_patch(folder, args.name.parent, args.name.name, manifest)


def main() -> None:
    args = parse_args()
    if args.experiment:
        table = table_folder(args.work_dir, args.experiment, args.data) / 'table.json'
        written = publish_experiment(table, args.work_dir, args.out, ROOT)
    else:
        written = publish_one(args)
    for path in written:
        print(f'{path}: {path.stat().st_size:,} bytes')


if __name__ == '__main__':
    main()
