"""Publish trained weights or finished patches, each with a manifest.

    python tools/publish.py model work_dirs/sln/iter_2000.pth NAME.pth --report REPORT
    python tools/publish.py patch work_dirs/patch_iou patches/patch_iou
    python tools/publish.py patch --out DIR \\
        --experiment configs/experiments/zoo_patches.py
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split

from mmdet_facepatch import zoo
from mmdet_facepatch.engine import add_debug_argument, run_tool
from mmdet_facepatch.experiments import (
    model_table,
    publish_attack,
    publish_experiment,
    publish_model,
    write_metafile,
)

ROOT = Path(__file__).resolve().parents[1]
MODEL = """Reduce a training checkpoint to float16 weights that load without unpickling.

With --report, NAME.json beside the weights says what they were trained on and what
they measure, and the table for their card is printed. Weights of the package enter
configs/metafile.yml, too.

    python tools/test.py CONFIG work_dirs/NAME/iter_2000.pth --tta --work-dir TEST
    python tools/publish.py model work_dirs/NAME/iter_2000.pth NAME.pth \\
        --report TEST/report.json
"""
PATCH = """Publish finished patches: a picture of 8 bits, and a manifest.

Writes NAME.png and NAME.json. The manifest has the attack's config; SHA-256
digests of the detector's weights, the data and the files; seed, steps, seconds,
versions, the command, and the report's main numbers. Reading the patch checks its
digest.
"""


def parse_args() -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    commands = parser.add_subparsers(dest='kind', required=True)

    model = commands.add_parser(
        'model', help='weights of a detector', description=MODEL, formatter_class=layout
    )
    model.add_argument('checkpoint', help='checkpoint that tools/train.py wrote')
    model.add_argument('out', type=Path, help='file to write, NAME.pth')
    model.add_argument(
        '--report',
        help='report.json of tools/test.py with this checkpoint; weights of the '
        'package need it',
    )

    patch = commands.add_parser(
        'patch', help='patches of attacks', description=PATCH, formatter_class=layout
    )
    patch.add_argument('folder', nargs='?', help='work dir of a finished attack')
    patch.add_argument(
        'name', nargs='?', type=Path, help='files to write, without suffix'
    )
    patch.add_argument(
        '--report',
        help="report.json of the patch; by default the work dir's own, if it has one",
    )
    patch.add_argument(
        '--command',
        help='that makes the patch again; by default tools/attack.py with the config '
        'that is in the work dir',
    )
    patch.add_argument(
        '--experiment',
        metavar='CONFIG',
        help='publish all finished attacks of an experiment',
    )
    patch.add_argument('--data', help="of the experiment, by default its config's")
    patch.add_argument('--work-dir', default='work_dirs', help='of the experiment')
    patch.add_argument('--out', default='patches', help='where to write them')

    for command in (model, patch):
        add_debug_argument(command)
    args = parser.parse_args()
    if args.kind == 'model':
        args.packaged = args.out.parent.resolve() == zoo.FOLDER.resolve()
        if args.packaged and not args.report:
            model.error(
                'weights of the package need --report, the numbers they measure'
            )
    elif bool(args.experiment) == bool(args.folder and args.name):
        patch.error('give the work dir of an attack and a name, or --experiment')
    return args


def publish_weights(args: argparse.Namespace) -> list[Path]:
    """Publish weights; those of the package are indexed."""
    command = shlex.join(['python', 'tools/publish.py', *sys.argv[1:]])
    manifest = publish_model(args.checkpoint, args.out, ROOT, command, args.report)
    if manifest is not None:
        print(model_table(manifest))
    if args.packaged:
        write_metafile(ROOT / 'configs' / 'metafile.yml')
    return [args.out]


def publish_patches(args: argparse.Namespace) -> list[Path]:
    """Publish one patch, or those of an experiment."""
    if args.experiment:
        return publish_experiment(args.experiment, args.out, args.data, args.work_dir)
    out, name = args.name.parent, args.name.name
    return publish_attack(args.folder, out, name, ROOT, args.report, args.command)


def main() -> None:
    args = parse_args()
    publish = publish_weights if args.kind == 'model' else publish_patches
    for path in publish(args):
        print(f'{path}: {path.stat().st_size:,} bytes')


if __name__ == '__main__':
    run_tool(main)
