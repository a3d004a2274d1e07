"""Reading of the whole training annotation."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faces import TRAIN_TEXT
from benchmarks.measure import Measurement, fastest
from mmdet_facepatch.datasets import WiderFaceDataset
from mmdet_facepatch.utils.wider_annotation import parse_wider_annotation

# As many as WIDER FACE's training set has.
NUM_IMAGES, FACES_PER_IMAGE = 12880, 12


def _annotation() -> tuple[str, str]:
    """The official text, or one of the same size, and which it is."""
    if TRAIN_TEXT.is_file():
        return TRAIN_TEXT.read_text(), 'the official annotation'
    face = '449 330 122 149 0 0 0 0 0 0'
    block = '\n'.join([str(FACES_PER_IMAGE), *[face] * FACES_PER_IMAGE])
    names = [f'0--Event/{index}.jpg' for index in range(NUM_IMAGES)]
    return '\n'.join(f'{name}\n{block}' for name in names) + '\n', 'a made-up one'


def benchmark_annotation(repeat: int) -> Iterator[Measurement]:
    """The data set is ready for training; its images are empty files here."""
    text, source = _annotation()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / 'train.txt').write_text(text)
        images = parse_wider_annotation(str(root / 'train.txt'))
        for name in images:
            path = root / 'images' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        faces = sum(len(image.boxes) for image in images.values())
        took = fastest(
            lambda: WiderFaceDataset(
                data_root=str(root),
                ann_file='train.txt',
                data_prefix=dict(img='images'),
                pipeline=[],
                filter_cfg=dict(filter_empty_gt=True),
            ),
            repeat,
        )
    yield Measurement(
        f'annotation: {len(images):,} images, {faces:,} faces, {source}', took, 's', 2
    )
