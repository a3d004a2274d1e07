"""Reduce a training checkpoint to float16 weights that load without unpickling."""

from __future__ import annotations

import argparse
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmengine.runner import CheckpointLoader

from mmdet_facepatch import zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint that tools/train.py wrote')
    parser.add_argument('out', type=Path, help='file to write, NAME.pth')
    args = parser.parse_args()
    checkpoint = CheckpointLoader.load_checkpoint(
        args.checkpoint, map_location='cpu')
    meta = {key: checkpoint['meta'][key] for key in ('epoch', 'iter', 'seed')
            if key in checkpoint['meta']}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    zoo.save_checkpoint(checkpoint['state_dict'], args.out, meta)
    if args.out.parent.resolve() == zoo.FOLDER.resolve():
        zoo.record_digest(args.out.stem)
    print(f'{args.out}: {args.out.stat().st_size / 2 ** 20:.2f} MiB')


if __name__ == '__main__':
    main()
