"""Judge the paper's findings on experiments that are finished.

Nothing is run: the saved detections of the experiments' runs are compared on the same
resampled images. What was not run is 'not measured'; what was run on another machine
keeps the result that it had.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from findings.judge import judge_findings, write_findings

from mmdet_facepatch.experiments import experiment_name

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the findings')
    parser.add_argument('--data', default='subset', help='data of the experiments')
    parser.add_argument('--work-dir', default='work_dirs', help='of experiments')
    parser.add_argument(
        '--results',
        default=str(ROOT / '.results'),
        help='folder of what is kept, for what the work dir does not have',
    )
    parser.add_argument(
        '--out', help='JSON file to write; by default NAME.json in the work dir'
    )
    args = parser.parse_args()
    content = judge_findings(args.config, args.work_dir, args.data, ROOT, args.results)
    name = f'{experiment_name(args.config, args.data)}.json'
    path = Path(args.out or Path(args.work_dir) / name)
    print(write_findings(content, path))
    print(f'\n{path} and its tables as Markdown are written')


if __name__ == '__main__':
    main()
