"""Measure what this package promises about speed and memory.

Prints a table and, with --out, writes the same as JSON. Times are the fastest
of --repeat runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
import numpy as np
import torch

from mmdet_facepatch.evaluation import (
    EvaluationSettings,
    ImageFaces,
    ImageRecord,
    evaluate_faces,
    load_ground_truth,
)
from mmdet_facepatch.files import write_atomically

GT_DIR = 'data/WIDERFace/eval_tools/ground_truth'
# WIDER FACE's validation set, for where it is not at hand.
NUM_IMAGES, NUM_FACES = 3226, 39708
DETECTIONS_PER_IMAGE = 500


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    Attributes:
        part: What was measured, and on what.
        value: The figure.
        unit: Its unit.
        target: What is promised, at most; None for information.
    """

    part: str
    value: float
    unit: str
    target: float | None = None

    def row(self) -> tuple[str, str, str]:
        """Part, figure, and target with its verdict."""
        if self.target is None:
            verdict = ''
        else:
            kept = 'kept' if self.value <= self.target else 'MISSED'
            verdict = f'<= {self.target:g} {self.unit}: {kept}'
        return self.part, f'{self.value:.3g} {self.unit}', verdict


def fastest(function: Callable[[], object], repeat: int) -> float:
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak_memory() -> float:
    """Highest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def validation_faces() -> tuple[dict[str, ImageFaces], str]:
    """Faces of the validation set, or random ones of the same number."""
    if Path(GT_DIR).is_dir():
        return load_ground_truth(GT_DIR), 'the official annotation'
    rng = np.random.default_rng(0)
    counts = rng.multinomial(NUM_FACES, rng.dirichlet(np.full(NUM_IMAGES, 0.4)))
    faces = {}
    for i, count in enumerate(counts):
        corner = rng.uniform(0, 900, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 80, corner.shape)], 1)
        keep = {name: rng.random(count) < share for name, share in
                (('easy', 0.2), ('medium', 0.4), ('hard', 0.8))}
        attributes = rng.integers(0, 2, (count, 6))
        faces[f'event/{i}'] = ImageFaces(boxes, attributes, keep)
    return faces, 'random faces'


def random_detections(faces: dict[str, ImageFaces]) -> list[ImageRecord]:
    """Two detections near each face, and noise up to 500 in each image."""
    rng = np.random.default_rng(1)
    records = []
    for img_id, image in faces.items():
        near = np.repeat(image.boxes, 2, axis=0)
        near = near + rng.normal(0, 2, near.shape)
        corner = rng.uniform(0, 900, (max(0, DETECTIONS_PER_IMAGE - len(near)), 2))
        size = rng.uniform(5, 200, corner.shape)
        boxes = np.concatenate([near, np.concatenate([corner, corner + size], axis=1)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        margins = rng.normal(-2, 2, len(boxes))
        margins[:len(near)] = rng.normal(3, 4, len(near))
        records.append(ImageRecord(
            img_id=img_id, det_boxes=boxes.astype(np.float32),
            det_scores=(1 / (1 + np.exp(-margins))).astype(np.float32),
            gt_boxes=image.boxes, det_margins=margins.astype(np.float32),
            gt_attributes=image.attributes, gt_keep=image.keep))
    return records


def benchmark_evaluation(repeat: int) -> list[Measurement]:
    """The whole evaluation of the validation set, on one core."""
    faces, source = validation_faces()
    records = random_detections(faces)
    count = sum(len(record.det_scores) for record in records)
    before = peak_memory()
    plain = fastest(
        lambda: evaluate_faces(records, EvaluationSettings(bootstrap=0)), repeat)
    whole = fastest(
        lambda: evaluate_faces(records, EvaluationSettings(bootstrap=1000)), repeat)
    what = f'evaluation: {len(records):,} images, {count:,} detections, {source}'
    return [
        Measurement(f'{what}; all but intervals', plain, 's', 15),
        Measurement('evaluation: 1,000 bootstrap replicates more', whole - plain, 's',
                    10),
        Measurement('evaluation: peak memory of the process', peak_memory(), 'GiB', 2),
        Measurement('evaluation: of which before it began', before, 'GiB'),
    ]


PARTS: dict[str, Callable[[int], list[Measurement]]] = {
    'evaluation': benchmark_evaluation,
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument(
        '--repeat', type=int, default=3, help='runs of each measurement')
    parser.add_argument(
        '--cores', type=int, default=1, help='CPU cores that the process may use')
    parser.add_argument('--out', help='write the measurements to this JSON file')
    return parser.parse_args()


def use_cores(count: int) -> None:
    """Keep the process, all its threads, on the first cores."""
    torch.set_num_threads(count)
    if hasattr(os, 'sched_setaffinity'):
        available = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, available[:count])


def main() -> None:
    args = parse_args()
    use_cores(args.cores)
    found = [line for part in args.parts for line in PARTS[part](args.repeat)]
    rows = [line.row() for line in found]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for part, value, verdict in rows:
        print(f'{part.ljust(widths[0])}  {value.rjust(widths[1])}  {verdict}'.rstrip())
    if args.out:
        content = dict(
            machine=platform.machine(), python=platform.python_version(),
            torch=torch.__version__, numpy=np.__version__, cores=args.cores,
            repeat=args.repeat, measurements=[asdict(line) for line in found])
        write_atomically(args.out, (json.dumps(content, indent=2) + '\n').encode())


if __name__ == '__main__':
    main()
