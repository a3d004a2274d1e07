"""Detections matched to faces, as WIDER FACE's protocol does it, in plain numpy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .overlaps import pairwise_iou_plus_one, row_blocks
from .patch_detections import best_patch_scores, on_patch
from .records import ImageRecord

TRUE_POSITIVE = 1
FALSE_POSITIVE = 0
IGNORED = -1


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

    Returns:
        DetectionMatches: status, face and overlap of each detection.

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
    gts = np.asarray(gt_boxes, dtype=np.float64).reshape(-1, 4)
    kept = np.asarray(keep, dtype=bool).reshape(-1)
    if len(kept) != len(gts):
        raise ValueError(
            f'keep has {len(kept)} entries for {len(gts)} faces; it needs one '
            'bool for each annotated face'
        )
    gt_index, first, overlap = _assign_faces(det_boxes, gts, face_iou_thr)
    status = _label(gt_index, first, kept)
    found = np.zeros(len(gts), dtype=bool)
    found[gt_index[status == TRUE_POSITIVE]] = True
    return DetectionMatches(status, gt_index, overlap, found)


def _assign_faces(
    det_boxes: ArrayLike, gt_boxes: ArrayLike, face_iou_thr: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Best face, whether first to take it, and overlap of each detection."""
    if not 0 < face_iou_thr <= 1:
        raise ValueError(f'face_iou_thr must lie in (0, 1], got {face_iou_thr}')
    index, overlap = _best_overlap(det_boxes, gt_boxes)
    index = np.where(overlap >= face_iou_thr, index, -1)
    first = np.zeros(len(index), dtype=bool)
    matched = np.flatnonzero(index >= 0)
    # np.unique names the first occurrence: in score order, the detection that
    # gets the face.
    first[matched[np.unique(index[matched], return_index=True)[1]]] = True
    return index, first, overlap


def _best_overlap(
    det_boxes: ArrayLike, gt_boxes: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """First face of highest IoU, and that IoU; 0 overlap without faces."""
    dets = np.asarray(det_boxes, dtype=np.float64).reshape(-1, 4)
    gts = np.asarray(gt_boxes, dtype=np.float64).reshape(-1, 4)
    index = np.zeros(len(dets), dtype=np.int64)
    overlap = np.zeros(len(dets), dtype=np.float64)
    if len(gts) == 0:
        return index, overlap
    for block in row_blocks(len(dets), len(gts)):
        iou = pairwise_iou_plus_one(dets[block], gts)
        index[block] = iou.argmax(axis=1)
        overlap[block] = iou.max(axis=1)
    return index, overlap


def _label(
    gt_index: NDArray[np.int64],
    first: NDArray[np.bool_],
    keep: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """Status of detections from their face and the faces kept."""
    status = np.full(len(gt_index), FALSE_POSITIVE, dtype=np.int8)
    matched = gt_index >= 0
    status[first] = TRUE_POSITIVE
    ignored = matched.copy()
    ignored[matched] = ~keep[gt_index[matched]]
    status[ignored] = IGNORED
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
        """
        kept = np.asarray(keep, dtype=bool).reshape(-1)
        if len(kept) != self.num_faces:
            raise ValueError(
                f'keep has {len(kept)} entries for {self.num_faces} faces; it '
                'needs one bool for each annotated face of all images'
            )
        status = _label(self.face, self.first, kept)
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
        images (list[ImageRecord]): One record an image.
        face_iou_thr (float): Least IoU of a match. Defaults to 0.5.
        patch_iou_thr (float): See :func:`on_patch`. Defaults to 0.3.
        count_empty_images (bool): Whether detections in images without any annotated
            face are false positives. The protocol leaves such images out (step 3; WIDER
            FACE's validation set has none), which is the default. Their scores take
            part in the normalisation of AP either way.
        patch_share (float): See :func:`on_patch`. Defaults to 0.5.

    Returns:
        PooledMatches: Matches of all images, in the order of the images.
    """
    _check_margins(images)
    parts: defaultdict[str, list[NDArray]] = defaultdict(list)
    offset = 0
    for record in images:
        matched = _match_record(record, face_iou_thr, patch_iou_thr, patch_share)
        matched['face'][matched['face'] >= 0] += offset
        for name, values in matched.items():
            parts[name].append(values)
        offset += len(record.gt_boxes)
    sizes = [len(scores) for scores in parts['scores']]
    faces = np.array([len(record.gt_boxes) for record in images], dtype=np.int64)
    image = np.repeat(np.arange(len(images), dtype=np.int64), sizes)
    return PooledMatches(
        scores=_concatenate(parts['scores'], np.float32),
        image=image,
        height=_concatenate(parts['height'], np.float64),
        face=_concatenate(parts['face'], np.int64),
        first=_concatenate(parts['first'], np.bool_),
        on_patch=_concatenate(parts['on_patch'], np.bool_),
        faces_per_image=faces,
        counted=(faces[image] > 0) | count_empty_images,
        patch_scores=_concatenate(parts['patch_scores'], np.float64),
        margins=np.concatenate(parts['margins']) if parts['margins'] else None,
    )


def _check_margins(images: Sequence[ImageRecord]) -> None:
    """All detections have margins or none has."""
    without = {True: '', False: ''}
    for record in images:
        if len(record.det_scores):
            without[record.det_margins is None] = record.img_id
    if all(without.values()):
        raise ValueError(
            f'the detections of {without[False]} have margins, those of '
            f'{without[True]} have none; the thresholds of one curve need one kind'
        )


def _match_record(
    record: ImageRecord, face_iou_thr: float, patch_iou_thr: float, patch_share: float
) -> dict[str, NDArray]:
    """Attributes of :class:`PooledMatches` for the detections of one image."""
    order = np.argsort(-record.det_scores, kind='stable')
    boxes, scores = record.det_boxes[order], record.det_scores[order]
    face, first, _ = _assign_faces(boxes, record.gt_boxes, face_iou_thr)
    matched = dict(
        scores=scores,
        height=(boxes[:, 3] - boxes[:, 1]).astype(np.float64),
        face=face,
        first=first,
        on_patch=np.zeros(len(boxes), dtype=bool),
    )
    if record.det_margins is not None and len(scores):
        matched['margins'] = record.det_margins[order]
    if record.patch_boxes is not None and len(record.patch_boxes):
        free = face < 0
        hits = on_patch(boxes[free], record.patch_boxes, patch_iou_thr, patch_share)
        matched['on_patch'][free] = hits
        matched['patch_scores'] = best_patch_scores(
            boxes[free], scores[free], record.patch_boxes, patch_iou_thr, patch_share
        )
    return matched


def _concatenate(parts: list, dtype: type) -> NDArray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)
