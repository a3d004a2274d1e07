"""Write RESULTS.md from the results that are kept, and keep new ones first.

With --keep, index, runs and pictures of experiments go from the work dir into
.results. RESULTS.md is written from that folder alone, in a fresh clone as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from findings.page import results_page
from findings.pictures import reduced_picture

from mmdet_facepatch.experiments import keep_experiment
from mmdet_facepatch.experiments.store import EXPERIMENTS
from mmdet_facepatch.utils.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--keep',
        nargs='+',
        default=[],
        metavar='NAME',
        help='experiments of the work dir to keep, as table1_subset',
    )
    parser.add_argument('--work-dir', default='work_dirs', help='of experiments')
    parser.add_argument(
        '--results', default=str(ROOT / '.results'), help='folder of what is kept'
    )
    parser.add_argument('--out', default=str(ROOT / 'RESULTS.md'))
    return parser.parse_args()


def keep(name: str, work_dir: str, results: str) -> None:
    """Copy an experiment into the results that are kept, with reduced pictures."""
    keep_experiment(name, work_dir, results)
    source, target = (Path(base) / EXPERIMENTS / name for base in (work_dir, results))
    target.mkdir(exist_ok=True)
    pictures = {path.name: path for path in source.glob('*.png')}
    for old in target.glob('*.png'):
        if old.name not in pictures:
            old.unlink()
    for picture in pictures.values():
        content = reduced_picture(picture.read_bytes())
        path = target / picture.name
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)


def main() -> None:
    args = parse_args()
    for name in args.keep:
        keep(name, args.work_dir, args.results)
    text = results_page(args.results, ROOT, Path(args.out).resolve().parent)
    write_atomically(args.out, text.encode())
    print(f'{args.out}: from {args.results}')


if __name__ == '__main__':
    main()
