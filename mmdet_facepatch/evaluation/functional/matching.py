"""Detections matched to faces, as WIDER FACE's protocol does it, in plain numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .detections import all_have_margins
from .faces import ImageRecord
from .overlaps import pairwise_iou_plus_one, row_blocks
from .patch_detections import best_patch_scores, on_patch

TRUE_POSITIVE = 1
FALSE_POSITIVE = 0
IGNORED = -1

# Arrays of PooledMatches that are laid end to end.
_PARTS: dict[str, type] = dict(
    scores=np.float32,
    height=np.float64,
    face=np.int64,
    first=np.bool_,
    on_patch=np.bool_,
    patch_scores=np.float64,
)


@dataclass(frozen=True)
class DetectionMatches:
    """What the protocol says about the detections of one image.

    Attributes:
        status (array): (D,) int8; 1 true positive, 0 false positive, -1 ignored (best
            face not kept: neither right nor wrong).
        gt_index (array): (D,) int64, the face a detection fell on, also of duplicates
            and of ignored detections; -1 where no face overlaps enough.
        overlap (array): (D,) float64, IoU (+1 convention) with the best face; 0 in an
            image without faces.
        gt_found (array): (G,) bool, kept faces with a true positive.
    """

    status: NDArray[np.int8]
    gt_index: NDArray[np.int64]
    overlap: NDArray[np.float64]
    gt_found: NDArray[np.bool_]


def match_detections(
    det_boxes: ArrayLike,
    gt_boxes: ArrayLike,
    keep: ArrayLike,
    face_iou_thr: float = 0.5,
) -> DetectionMatches:
    """Match the detections of one image to its faces (protocol, step 5).

    1. Each detection takes the face of highest IoU, the first one on ties.
    2. IoU below ``face_iou_thr``: false positive.
    3. The face is not kept: the detection is ignored.
    4. The face is kept and no earlier detection took it: true positive;
       otherwise the detection is a duplicate, a false positive.

    A detection does not move on to its second-best face when the best one is
    taken, so a detection's face never depends on the other detections.

    Args:
        det_boxes (array): (D, 4) xyxy boxes, **sorted by score, descending**.
        gt_boxes (array): (G, 4) xyxy boxes of all annotated faces, kept or not,
            degenerate ones included.
        keep (array): (G,) bool, faces that count in the subset.
        face_iou_thr (float): Least IoU of a match, in (0, 1]. Defaults to 0.5.

    Raises:
        ValueError: If ``keep`` does not have one entry for each face.

    Example:
        >>> face = [[0, 0, 9, 9]]
        >>> boxes = [[0, 0, 9, 9], [0, 0, 9, 8], [40, 40, 49, 49]]
        >>> match_detections(boxes, face, [True]).status.tolist()
        [1, 0, 0]
        >>> match_detections(boxes, face, [False]).status.tolist()
        [-1, -1, 0]
    """
    face, first, overlap = _assign_faces(det_boxes, gt_boxes, face_iou_thr)
    status = _label(face, first, keep, np.size(gt_boxes) // 4)
    found = np.zeros(np.size(gt_boxes) // 4, dtype=bool)
    found[face[status == TRUE_POSITIVE]] = True
    return DetectionMatches(status, face, overlap, found)


def _assign_faces(
    det_boxes: ArrayLike, gt_boxes: ArrayLike, face_iou_thr: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Best face, whether first to take it, and overlap of each detection."""
    if not 0 < face_iou_thr <= 1:
        raise ValueError(f'face_iou_thr must lie in (0, 1], got {face_iou_thr}')
    dets = np.asarray(det_boxes, dtype=np.float64).reshape(-1, 4)
    gts = np.asarray(gt_boxes, dtype=np.float64).reshape(-1, 4)
    index = np.full(len(dets), -1)
    overlap = np.zeros(len(dets))
    for block in row_blocks(len(dets), len(gts)) if len(gts) else ():
        iou = pairwise_iou_plus_one(dets[block], gts)
        overlap[block] = iou.max(axis=1)
        index[block] = iou.argmax(axis=1)
    # Not "<": NaN, of boxes beyond float64, is no match.
    index[~(overlap >= face_iou_thr)] = -1
    first = np.zeros(len(index), dtype=bool)
    matched = np.flatnonzero(index >= 0)
    # np.unique names the first occurrence: in score order, the detection that
    # gets the face.
    first[matched[np.unique(index[matched], return_index=True)[1]]] = True
    return index, first, overlap


def _label(
    face: NDArray[np.int64], first: NDArray[np.bool_], keep: ArrayLike, num_faces: int
) -> NDArray[np.int8]:
    """Status of detections from their face and the faces kept."""
    kept = np.asarray(keep, dtype=bool).reshape(-1)
    if len(kept) != num_faces:
        raise ValueError(
            f'keep has {len(kept)} entries for {num_faces} faces; it needs one bool '
            'for each annotated face'
        )
    status = np.where(first, TRUE_POSITIVE, FALSE_POSITIVE).astype(np.int8)
    # Without a face the index is -1, one past the faces.
    status[~np.append(kept, True)[face]] = IGNORED
    return status


@dataclass(frozen=True)
class PooledMatches:
    """Detections of many images laid end to end, matched to their faces.

    N detections and G faces in I images; faces are numbered over all images in
    the order of the images.

    Attributes:
        scores (array): (N,) raw scores in the precision they came in; inside an image
            descending.
        image (array): (N,) int64, the image a detection is in.
        height (array): (N,) float64, heights of the detections in pixels.
        face (array): (N,) int64, the face a detection fell on, -1 for none.
        first (array): (N,) bool, the first detection on that face.
        on_patch (array): (N,) bool, detections that overlap no face enough to match it
            and sit on a patch or a part of one. Matching a face goes before: a box on
            both is the face's.
        faces_per_image (array): (I,) int64.
        counted (array): (N,) bool, False for the detections of images without any face,
            which the protocol leaves out.
        patch_scores (array): float64, for each patch of all images the highest score of
            a detection on it that matches no face, 0 for none.
        margins (array | None): (N,) log-odds, None if the records have none.
    """

    scores: NDArray[np.floating]
    image: NDArray[np.int64]
    height: NDArray[np.float64]
    face: NDArray[np.int64]
    first: NDArray[np.bool_]
    on_patch: NDArray[np.bool_]
    faces_per_image: NDArray[np.int64]
    counted: NDArray[np.bool_]
    patch_scores: NDArray[np.float64]
    margins: NDArray[np.floating] | None = None

    @property
    def num_faces(self) -> int:
        """Annotated faces of all images."""
        return int(self.faces_per_image.sum())

    def status(self, keep: ArrayLike) -> NDArray[np.int8]:
        """Label the detections for one subset.

        Args:
            keep (array): (G,) bool over the faces of all images.

        Returns:
            array: (N,) int8; 1 true positive, 0 false positive, -1 ignored.

        Raises:
            ValueError: If ``keep`` does not have one entry for each face.
        """
        status = _label(self.face, self.first, keep, self.num_faces)
        status[~self.counted] = IGNORED
        return status


def pool_matches(
    images: Sequence[ImageRecord],
    face_iou_thr: float = 0.5,
    patch_iou_thr: float = 0.3,
    count_empty_images: bool = False,
    patch_share: float = 0.5,
) -> PooledMatches:
    """Match every image and lay the results end to end (steps 1, 3 to 5).

    Args:
        images (list[ImageRecord]): One of each image.
        face_iou_thr (float): Least IoU of a match. Defaults to 0.5.
        patch_iou_thr (float): See :func:`on_patch`. Defaults to 0.3.
        count_empty_images (bool): Whether detections in images without any annotated
            face are false positives. The protocol leaves such images out (step 3; WIDER
            FACE's validation set has none), which is the default. Their scores take
            part in the normalisation of AP either way.
        patch_share (float): See :func:`on_patch`. Defaults to 0.5.

    Raises:
        ValueError: If only some of the detections have margins, or a threshold is
            outside (0, 1].
    """
    all_have_margins(
        (r.img_id, r.det_margins is not None) for r in images if len(r.det_scores)
    )
    # Each begins with an empty array, which stands where there are no images.
    parts: dict[str, list[NDArray]] = {
        name: [np.zeros(0, dtype=dtype)] for name, dtype in _PARTS.items()
    }
    margins = []
    offset = 0
    for record in images:
        order = np.argsort(-record.det_scores, kind='stable')
        boxes, scores = record.det_boxes[order], record.det_scores[order]
        face, first, _ = _assign_faces(boxes, record.gt_boxes, face_iou_thr)
        free = face < 0
        patches = np.zeros((0, 4)) if record.patch_boxes is None else record.patch_boxes
        hits = np.zeros(len(boxes), dtype=bool)
        hits[free] = on_patch(boxes[free], patches, patch_iou_thr, patch_share)
        best = best_patch_scores(
            boxes[free], scores[free], patches, patch_iou_thr, patch_share
        )
        if record.det_margins is not None and len(scores):
            margins.append(record.det_margins[order])
        parts['scores'].append(scores)
        parts['height'].append((boxes[:, 3] - boxes[:, 1]).astype(np.float64))
        parts['face'].append(np.where(free, -1, face + offset))
        parts['first'].append(first)
        parts['on_patch'].append(hits)
        parts['patch_scores'].append(best)
        offset += len(record.gt_boxes)
    faces = np.array([len(record.gt_boxes) for record in images], dtype=np.int64)
    image = np.repeat(
        np.arange(len(images)), [len(record.det_scores) for record in images]
    )
    return PooledMatches(
        image=image,
        faces_per_image=faces,
        counted=(faces[image] > 0) | count_empty_images,
        margins=np.concatenate(margins) if margins else None,
        **{name: np.concatenate(arrays) for name, arrays in parts.items()},
    )
