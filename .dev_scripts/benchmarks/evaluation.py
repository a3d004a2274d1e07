"""Evaluation of the validation set: time and memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.measure import Measurement, fastest, peak_memory
from mmdet_facepatch.evaluation import (
    EvaluationSettings,
    ImageFaces,
    ImageRecord,
    evaluate_faces,
    load_ground_truth,
)

GT_DIR = 'data/WIDERFace/eval_tools/ground_truth'
# WIDER FACE's validation set, for where it is not at hand.
NUM_IMAGES, NUM_FACES = 3226, 39708
DETECTIONS_PER_IMAGE = 500


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
        keep = {
            name: rng.random(count) < share
            for name, share in (('easy', 0.2), ('medium', 0.4), ('hard', 0.8))
        }
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
        margins[: len(near)] = rng.normal(3, 4, len(near))
        records.append(
            ImageRecord(
                img_id=img_id,
                det_boxes=boxes.astype(np.float32),
                det_scores=(1 / (1 + np.exp(-margins))).astype(np.float32),
                gt_boxes=image.boxes,
                det_margins=margins.astype(np.float32),
                gt_attributes=image.attributes,
                gt_keep=image.keep,
            )
        )
    return records


def benchmark_evaluation(repeat: int) -> list[Measurement]:
    """The whole evaluation of the validation set, on one core."""
    faces, source = validation_faces()
    records = random_detections(faces)
    count = sum(len(record.det_scores) for record in records)
    before = peak_memory()
    plain = fastest(
        lambda: evaluate_faces(records, EvaluationSettings(bootstrap=0)), repeat
    )
    whole = fastest(
        lambda: evaluate_faces(records, EvaluationSettings(bootstrap=1000)), repeat
    )
    what = f'evaluation: {len(records):,} images, {count:,} detections, {source}'
    return [
        Measurement(f'{what}; all but intervals', plain, 's', 15),
        Measurement(
            'evaluation: 1,000 bootstrap replicates more', whole - plain, 's', 10
        ),
        Measurement('evaluation: peak memory of the process', peak_memory(), 'GiB', 2),
        Measurement('evaluation: of which before it began', before, 'GiB'),
    ]
