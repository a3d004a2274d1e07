"""Pack what a GPU machine without network needs: wheels and re-encoded images.

    python .dev_scripts/gpu/pack.py --data data/WIDERFace

writes ``.gpu/wheels`` (the OpenMMLab stack in pure Python and what an image with torch
and torchvision lacks) and ``.gpu/WIDERFace`` (the images of both lists, with at most
640 px on the long side, annotations scaled with them), for ``run.sh`` beside it. Both
folders together stay below 64 MiB.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat, savemat

ROOT = Path(__file__).resolve().parents[2]
STACK = ('onedl-mmengine==0.10.12', 'onedl-mmcv==2.3.6', 'onedl-mmdetection==3.5.1')
# What they and the tests need and an image may lack. What is large and usually there
# (opencv-python-headless, scipy, matplotlib, pandas) is named with --more where it is
# missing.
MORE = (
    'addict',
    'termcolor',
    'yapf',
    'terminaltables',
    'rich',
    'markdown-it-py',
    'mdurl',
    'pygments',
    'hypothesis',
    'sortedcontainers',
    'pytest',
    'pluggy',
    'iniconfig',
    'pycocotools',
    'shapely',
    'tqdm',
    'tabulate',
    'six',
    'packaging',
    'pyyaml',
    'platformdirs',
)
PLATFORMS = (
    'manylinux_2_28_x86_64',
    'manylinux_2_27_x86_64',
    'manylinux_2_17_x86_64',
    'manylinux2014_x86_64',
    'any',
)
LIMIT = 64 << 20


def build_wheels(folder: Path, version: str, more: list[str]) -> None:
    """Wheels of the stack, and of what else the machine may lack.

    Args:
        folder: Where they go.
        version: Python there, e.g. ``3.12``.
        more: Packages besides :data:`MORE`.
    """
    pip = [sys.executable, '-m', 'pip']
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [*pip, 'wheel', '-q', '--no-deps', '--no-cache-dir', '-w', str(folder), *STACK],
        check=True,
    )
    platforms = [word for name in PLATFORMS for word in ('--platform', name)]
    for name in (*MORE, *more):
        subprocess.run(
            [
                *pip,
                'download',
                '-q',
                '--no-deps',
                '--only-binary',
                ':all:',
                '-d',
                str(folder),
                '--python-version',
                version,
                *platforms,
                name,
            ],
            check=True,
        )


def shrink_images(source: Path, target: Path, side: int) -> None:
    """Images of both lists, at most ``side`` px, with their boxes.

    Args:
        source: WIDER FACE, or a part of it with lists.
        target: The same layout.
        side: Longest side, pixels.
    """
    shutil.copytree(source / 'eval_tools', target / 'eval_tools', dirs_exist_ok=True)
    for split in ('train', 'val'):
        listed = (source / f'{split}_subset.txt').read_text().split('\n')
        names = [name for name in listed if name]
        scales = {}
        for name in names:
            path = source / f'WIDER_{split}' / 'images' / name
            with Image.open(path) as image:
                scale = min(1.0, side / max(image.size))
                size = tuple(round(edge * scale) for edge in image.size)
                small = image.convert('RGB').resize(size, Image.Resampling.LANCZOS)
            out = target / f'WIDER_{split}' / 'images' / name
            out.parent.mkdir(parents=True, exist_ok=True)
            small.save(out, quality=75)
            scales[name] = scale
        (target / f'{split}_subset.txt').write_text('\n'.join(names) + '\n')
        _scale_text(source, target, split, scales)
    for path in (target / 'eval_tools' / 'ground_truth').glob('wider_face_val.mat'):
        _scale_mat(path, scales)


def _scale_text(
    source: Path, target: Path, split: str, scales: dict[str, float]
) -> None:
    """The annotation of the images that are there, boxes scaled."""
    name = f'wider_face_split/wider_face_{split}_bbx_gt.txt'
    lines = iter((source / name).read_text().splitlines())
    kept = []
    for image in lines:
        count = int(next(lines))
        rows = [next(lines) for _ in range(max(count, 1))]
        if image not in scales:
            continue
        kept += [image, str(count)]
        for row in rows:
            numbers = row.split()
            box = [round(int(v) * scales[image]) for v in numbers[:4]]
            # A side of 0 marks a box that is none; no other may become one.
            box[2:] = [
                max(new, int(int(old) > 0))
                for new, old in zip(box[2:], numbers[2:4], strict=True)
            ]
            kept.append(' '.join([*map(str, box), *numbers[4:]]))
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    (target / name).write_text('\n'.join(kept) + '\n')


def _scale_mat(path: Path, scales: dict[str, float]) -> None:
    """Boxes of the official ground truth, of the images that are there."""
    content = loadmat(path)
    events, files = content['event_list'], content['file_list']
    faces = content['face_bbx_list']
    for event, listed, boxes in zip(events, files, faces, strict=True):
        for row, name in enumerate(listed[0]):
            key = f'{event[0][0]}/{name[0][0]}.jpg'
            if key in scales:
                scaled = np.round(boxes[0][row][0] * scales[key])
                scaled[:, 2:] = np.maximum(scaled[:, 2:], 1)
                boxes[0][row][0] = scaled
    savemat(
        path,
        {k: v for k, v in content.items() if not k.startswith('__')},
        do_compression=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, default=ROOT / 'data' / 'WIDERFace')
    parser.add_argument('--out', type=Path, default=ROOT / '.gpu')
    parser.add_argument('--python', default='3.12')
    parser.add_argument('--more', nargs='*', default=[], metavar='PACKAGE')
    parser.add_argument('--side', type=int, default=640)
    args = parser.parse_args()
    build_wheels(args.out / 'wheels', args.python, args.more)
    shrink_images(args.data, args.out / 'WIDERFace', args.side)
    size = sum(path.stat().st_size for path in args.out.rglob('*') if path.is_file())
    print(f'{args.out}: {size / 2**20:.1f} MiB of {LIMIT >> 20}')
    if size > LIMIT:
        raise SystemExit('Too much: lower --side')


if __name__ == '__main__':
    main()
