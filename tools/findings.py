"""Judge the paper's findings on experiments that are finished.

Nothing is run: the saved detections of the experiments' cells are compared on the
same resampled images. What was not run is 'not measured'; what was run on another
machine keeps the result that it had.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet_facepatch.engine import table_folder
from mmdet_facepatch.results import judge_findings, write_findings

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the findings')
    parser.add_argument('--data', default='subset', help='data of the experiments')
    parser.add_argument('--work-dir', default='work_dirs/experiments',
                        help='folder of all experiments')
    parser.add_argument('--results', default=str(ROOT / '.results'),
                        help='folder of what is kept, for what the work dir has not')
    args = parser.parse_args()
    content = judge_findings(args.config, args.work_dir, args.data, ROOT, args.results)
    folder = table_folder(args.work_dir, args.config, args.data)
    print(write_findings(content, folder))
    print(f'\nfindings.json and findings.md are in {folder}')


if __name__ == '__main__':
    main()
