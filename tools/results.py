"""Write RESULTS.md from the results of experiments, and keep what it shows.

Tables, findings and figures in the work dir are copied into .results, and RESULTS.md
is written from that folder alone: --only-write does so in a fresh clone, where
nothing has been run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet_facepatch.engine.manifest import portable
from mmdet_facepatch.files import write_atomically
from mmdet_facepatch.results import (
    Entry,
    collect,
    read_entries,
    read_entry,
    results_document,
)

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', default='work_dirs/experiments',
                        help='folder of all experiments')
    parser.add_argument('--data', default='subset',
                        help='keep results on this data only')
    parser.add_argument('--add', nargs='+', default=[], metavar='FOLDER',
                        help='keep the result in these folders too')
    parser.add_argument('--only-write', action='store_true',
                        help='keep nothing new; write from what is kept')
    parser.add_argument('--results', default=str(ROOT / '.results'),
                        help='folder of what is kept')
    parser.add_argument('--out', default=str(ROOT / 'RESULTS.md'))
    return parser.parse_args()


def new_entries(args: argparse.Namespace) -> list[Entry]:
    """Results of the work dir that have a number, and those of --add.

    What was run with --cfg-options is a trial, and kept only by --add.
    """
    data = portable(args.data, ROOT)
    tables = [
        entry for entry in read_entries(Path(args.work_dir) / 'tables')
        if entry.content.get('data', data) == data
        and not entry.content.get('options') and any(
            row['numbers'] for row in entry.content.get('cells', [dict(numbers=1)]))]
    added = [read_entry(Path(folder)) for folder in args.add]
    for folder, entry in zip(args.add, added, strict=True):
        if entry is None:
            raise FileNotFoundError(f'--add {folder}: there is no JSON file')
    return [*tables, *(entry for entry in added if entry is not None)]


def main() -> None:
    args = parse_args()
    if not args.only_write:
        collect(new_entries(args), args.results, ROOT)
    entries = read_entries(args.results)
    text = results_document(entries, ROOT, Path(args.out).resolve().parent)
    write_atomically(args.out, text.encode())
    print(f'{args.out}: {len(entries)} results of {args.results}')


if __name__ == '__main__':
    main()
