"""Detections and faces of one image, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .detections import Detections
from .faces import ImageFaces


@dataclass(frozen=True)
class ImageRecord:
    """Detections and faces of one image, in its original coordinates.

    Attributes:
        img_id (str): Name of the image, ``event/name`` on WIDER FACE.
        det_boxes (array): (D, 4) xyxy boxes in pixels, in any order.
        det_scores (array): (D,) raw scores.
        gt_boxes (array): (G, 4) xyxy boxes of all annotated faces.
        patch_boxes (array | None): (P, 4) squares of the pasted patches, None where
            nothing was pasted.
        det_margins (array | None): (D,) log-odds of the detections, None where the
            detector gave scores only.
        gt_attributes (array | None): (G, 6) int64, see
            :data:`~mmdet_facepatch.evaluation.functional.faces.ATTRIBUTE_VALUES`.
        gt_keep (dict): Subset -> (G,) bool, the faces it keeps; all faces in a subset
            that is not named.
    """

    img_id: str
    det_boxes: NDArray[np.floating]
    det_scores: NDArray[np.floating]
    gt_boxes: NDArray[np.floating]
    patch_boxes: NDArray[np.int64] | None = None
    det_margins: NDArray[np.floating] | None = None
    gt_attributes: NDArray[np.int64] | None = None
    gt_keep: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


def to_record(img_id: str, detections: Detections, faces: ImageFaces) -> ImageRecord:
    """Put detections and faces of one image together.

    Args:
        img_id (str): Name of the image.
        detections (Detections): As checked by
            :func:`~mmdet_facepatch.evaluation.functional.detections.check_detections`.
        faces (ImageFaces): Its faces.

    Returns:
        ImageRecord: What :func:`evaluate_faces` takes.
    """
    return ImageRecord(
        img_id=img_id,
        det_boxes=detections.boxes,
        det_scores=detections.scores,
        gt_boxes=faces.boxes,
        patch_boxes=detections.patch_boxes,
        det_margins=detections.margins,
        gt_attributes=faces.attributes,
        gt_keep=faces.keep,
    )


def to_records(
    predictions: Mapping[str, Detections],
    faces: Mapping[str, ImageFaces],
    source: str = 'the predictions',
) -> list[ImageRecord]:
    """Records of all annotated images; no predictions count as none detected.

    Args:
        predictions (dict): Detections by image.
        faces (dict): Faces by image.
        source (str): Where the predictions come from, for the error. Defaults to 'the
            predictions'.

    Returns:
        list[ImageRecord]: In the order of ``faces``.

    Raises:
        ValueError: If an image of the predictions has no annotation.
    """
    unknown = [img_id for img_id in predictions if img_id not in faces]
    if unknown:
        raise ValueError(
            f'{source}: {len(unknown)} of {len(predictions)} images have no '
            f'annotation, the first is {unknown[0]}; the annotated ones are named as '
            f'{next(iter(faces), "(none)")}'
        )
    # float32 gives way to whatever type the other images have.
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    return [
        to_record(img_id, predictions.get(img_id, nothing), image_faces)
        for img_id, image_faces in faces.items()
    ]
