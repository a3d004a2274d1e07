"""Show patches alone to clean detectors: are they taken for a face?

The config (configs/face_likeness/) names detectors, black boxes among them, patches
that are not optimised, and the sizes and backgrounds. Writes face_likeness.json,
face_likeness.md and heat maps into the work dir.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmengine.config import DictAction

from mmdet_facepatch.engine import run_face_likeness

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / '.results' / 'face_likeness' / 'face_likeness.json'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='what is shown to which detectors')
    parser.add_argument(
        '--patches', nargs='+', default=[], metavar='NAME=FILE',
        help="patch files (.npy, .png) beside the config's")
    parser.add_argument(
        '--detectors', nargs='+', metavar='NAME', help="some of the config's only")
    parser.add_argument('--work-dir', default='work_dirs/face_likeness')
    parser.add_argument(
        '--kept', nargs='?', const=str(KEPT), metavar='FILE',
        help='take what an earlier face_likeness.json has of equal detectors and '
             'patches (default: the one in .results)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={},
        help='override config keys: key=value ...')
    return parser.parse_args()


def without_kept(words: list[str], kept: str | None) -> list[str]:
    """The call by which everything is measured."""
    place = next((i for i, word in enumerate(words)
                  if word.partition('=')[0] == '--kept'), None)
    if place is None:
        return words
    value = 1 if words[place + 1:place + 2] == [kept] else 0
    return words[:place] + words[place + 1 + value:]


def main() -> None:
    args = parse_args()
    command = shlex.join(['python', 'tools/face_likeness.py',
                          *without_kept(sys.argv[1:], args.kept)])
    print(run_face_likeness(
        args.config, args.patches, args.work_dir, detectors=args.detectors,
        options=args.cfg_options, command=command, root=ROOT, kept=args.kept))
    print(f'\nface_likeness.json, face_likeness.md and heat maps are in '
          f'{args.work_dir}')


if __name__ == '__main__':
    main()
