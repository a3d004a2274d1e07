"""Unpack or download the official WIDER FACE archives, and verify the result.

Exit code 0 if everything is there, 1 if anything is missing or differs.
"""

from __future__ import annotations

import argparse
import os.path as osp

from mmdet_facepatch.datasets.widerface_files import prepare, verify
from mmdet_facepatch.engine import add_debug_argument, run_tool


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--root', default='data/WIDERFace', help='folder of WIDER FACE (%(default)s)'
    )
    parser.add_argument(
        '--archives', help='folder of the official zip files (default: the root)'
    )
    parser.add_argument(
        '--download',
        action='store_true',
        help='download archives that are needed; the images are about 1.8 GB',
    )
    parser.add_argument(
        '--verify-only', action='store_true', help='check, and write nothing'
    )
    for split in ('train', 'val'):
        parser.add_argument(
            f'--{split}-list',
            metavar='FILE',
            help=f'text file of the {split} images that are there on purpose, one '
            'path a line; looked for here, then in the root',
        )
    add_debug_argument(parser)
    args = parser.parse_args(argv)
    if args.verify_only and (args.download or args.archives):
        parser.error('--verify-only goes with neither --download nor --archives')
    return args


def find_image_lists(args: argparse.Namespace) -> dict[str, str]:
    """Resolve the image list options to paths."""
    image_lists = {}
    for split in ('train', 'val'):
        path = getattr(args, f'{split}_list')
        if path is None:
            continue
        places = (path, osp.join(args.root, path))
        found = [place for place in places if osp.isfile(place)]
        if not found:
            raise FileNotFoundError(f'no image list {" or ".join(places)}')
        image_lists[split] = found[0]
    return image_lists


def main(argv: list[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    args = parse_args(argv)
    image_lists = find_image_lists(args)
    if args.verify_only:
        report = verify(args.root, image_lists)
    else:
        report = prepare(args.root, args.archives, args.download, image_lists)
    print(report)
    if not report.ok:
        print(
            'Get the archives with --download, or name their folder with --archives. '
            'If only a part is there on purpose, list its images in a file for '
            '--train-list / --val-list.'
        )
    return 0 if report.ok else 1


if __name__ == '__main__':
    run_tool(main)
