"""Reduce a training checkpoint to float16 weights that load without unpickling.

With --report, NAME.json beside the weights says what they were trained on and what
they measure, and the table for their card is printed.

    python tools/test.py CONFIG work_dirs/NAME/iter_2000.pth --tta --work-dir TEST
    python tools/publish_model.py work_dirs/NAME/iter_2000.pth NAME.pth \\
        --report TEST/report.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split

from mmdet_facepatch import zoo
from mmdet_facepatch.engine.digests import file_digest
from mmdet_facepatch.files import write_atomically
from mmdet_facepatch.results import model_manifest, model_table
from mmdet_facepatch.weights import SafeCheckpointLoader

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='checkpoint that tools/train.py wrote')
    parser.add_argument('out', type=Path, help='file to write, NAME.pth')
    parser.add_argument('--report', help='report.json of tools/test.py with this '
                        'checkpoint; weights of the package need it')
    args = parser.parse_args()
    args.packaged = args.out.parent.resolve() == zoo.FOLDER.resolve()
    if args.packaged and not args.report:
        parser.error('weights of the package need --report, the numbers they measure')
    return args


def main() -> None:
    args = parse_args()
    checkpoint = SafeCheckpointLoader.load_checkpoint(
        args.checkpoint, map_location='cpu')
    meta = {key: checkpoint['meta'][key] for key in ('epoch', 'iter', 'seed')
            if key in checkpoint['meta']}
    command = shlex.join(['python', 'tools/publish_model.py', *sys.argv[1:]])
    # Before anything is written: a report of other weights is an error.
    manifest = model_manifest(
        args.checkpoint, meta, args.report, ROOT, command) if args.report else None
    args.out.parent.mkdir(parents=True, exist_ok=True)
    zoo.save_checkpoint(checkpoint['state_dict'], args.out, meta)
    if args.packaged:
        zoo.record_digest(args.out.stem)
    if manifest is not None:
        content = dict(manifest, name=args.out.stem,
                       files={args.out.suffix: file_digest(args.out)})
        text = json.dumps(content, indent=1, allow_nan=False)
        write_atomically(args.out.with_suffix('.json'), f'{text}\n'.encode())
        print(model_table(manifest))
    print(f'{args.out}: {args.out.stat().st_size / 2 ** 20:.2f} MiB')


if __name__ == '__main__':
    main()
