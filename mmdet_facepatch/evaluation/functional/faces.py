"""Annotated faces, and images with their faces and detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...utils.wider_annotation import ATTRIBUTE_VALUES as ATTRIBUTE_VALUES
from .detections import Detections

#: The subsets of WIDER FACE that come with an official ``.mat`` file.
OFFICIAL_SUBSETS = ('easy', 'medium', 'hard')


@dataclass(frozen=True)
class ImageFaces:
    """The annotated faces of one image.

    Attributes:
        boxes (array): (G, 4) float64 xyxy in pixels of the original image, x2 = x + w
            and y2 = y + h; degenerate boxes are included.
        attributes (array | None): (G, 6) int64, columns in the order of
            :data:`ATTRIBUTE_VALUES`; None where there are none.
        keep (dict): Subset -> (G,) bool, the faces it keeps. A subset that is not named
            keeps all of them.
    """

    boxes: NDArray[np.float64]
    attributes: NDArray[np.int64] | None = None
    keep: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageRecord:
    """Detections and faces of one image, in its original coordinates.

    Fields are those of
    :class:`~mmdet_facepatch.evaluation.functional.detections.Detections` and
    :class:`ImageFaces`; ``img_id`` is ``event/name`` on WIDER FACE.
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
    """Put checked detections and the faces of one image together."""
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
