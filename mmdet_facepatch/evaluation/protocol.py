"""The WIDER FACE evaluation protocol in plain numpy.

Nothing here knows mmengine or mmdet: every function takes and returns arrays,
so that predictions of any detector can be judged. The steps are those of the
official MATLAB toolkit (``wider_eval.m``, ``evaluation.m``, ``norm_score.m``,
``boxoverlap.m``), Yang et al., *WIDER FACE: A Face Detection Benchmark*, CVPR
2016.

The computation has three stages:

1. :func:`pool_matches` sorts the detections of each image by score, gives each
   its best face, and lays all images end to end. This does not depend on the
   subset (easy, medium, hard, all), so it is done once.
2. :meth:`PooledMatches.status` labels every detection true positive, false
   positive or ignored, given the faces kept in a subset.
3. :class:`ThresholdBins` finds once, for every detection, which thresholds it
   reaches; counts for any subset are histograms of that.
   :func:`average_precision`, :func:`precision_recall_at` and
   :func:`calibrated_delta` are made of such counts.

Example:
    >>> import numpy as np
    >>> image = ImageRecord(
    ...     img_id='0--Parade/a',
    ...     det_boxes=np.array([[0., 0, 9, 9], [50, 50, 59, 59]]),
    ...     det_scores=np.array([0.9, 0.8]),
    ...     gt_boxes=np.array([[0., 0, 9, 9]]))
    >>> pool = pool_matches([image])
    >>> status = pool.status(np.ones(pool.num_faces, dtype=bool))
    >>> status.tolist()
    [1, 0]
    >>> precision, recall = precision_recall_at(
    ...     pool.scores, status, num_faces=1, deltas=[0.5, 0.85])
    >>> precision.tolist(), recall.tolist()
    ([0.5, 1.0], [1.0, 1.0])
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

TRUE_POSITIVE = 1
FALSE_POSITIVE = 0
IGNORED = -1

#: Thresholds of the official AP.
NUM_AP_THRESHOLDS = 1000

# Rows of the overlap matrix are computed in blocks of at most this many
# elements (32 MiB a float64 temporary), so that thousands of detections meet
# thousands of faces in bounded memory.
_MAX_OVERLAP_ELEMENTS = 1 << 22


def pairwise_iou(
    boxes1: ArrayLike, boxes2: ArrayLike, offset: float = 0.0
) -> NDArray[np.float64]:
    """IoU of every box of one set with every box of another.

    Args:
        boxes1 (array): (N, 4) xyxy boxes in pixels.
        boxes2 (array): (M, 4) xyxy boxes in pixels.
        offset (float): Added to every width and height: 0 where x2 and y2 are
            exclusive, 1 where they name the last pixel inside.

    Returns:
        array: (N, M) float64 in [0, 1]. Pairs whose intersection has no extent
        have 0, therefore also every pair with a box of negative size.
    """
    inter, area1, area2 = _pairwise_areas(boxes1, boxes2, offset)
    # An intersection with extent lies inside both boxes, so the union is
    # positive wherever it divides anything.
    union = np.where(inter > 0, area1 + area2 - inter, 1.0)
    return inter / union


def _pairwise_areas(
    boxes1: ArrayLike, boxes2: ArrayLike, offset: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Intersections (N, M), and areas (N, 1) and (1, M)."""
    first = np.asarray(boxes1, dtype=np.float64).reshape(-1, 1, 4)
    second = np.asarray(boxes2, dtype=np.float64).reshape(1, -1, 4)
    sizes = np.minimum(first[..., 2:], second[..., 2:])
    sizes -= np.maximum(first[..., :2], second[..., :2])
    sizes += offset
    inter = np.where((sizes > 0).all(axis=-1), sizes.prod(axis=-1), 0.0)
    area1 = (first[..., 2:] - first[..., :2] + offset).prod(axis=-1)
    area2 = (second[..., 2:] - second[..., :2] + offset).prod(axis=-1)
    return inter, area1, area2


def pairwise_iou_plus_one(boxes1: ArrayLike, boxes2: ArrayLike) -> NDArray[np.float64]:
    """IoU with the protocol's +1 convention (``boxoverlap.m``).

    Args:
        boxes1 (array): (N, 4) xyxy boxes in pixels, x2 = x + w.
        boxes2 (array): (M, 4) xyxy boxes in pixels.

    Returns:
        array: (N, M) float64 in [0, 1], with ``w = x2 - x1 + 1`` throughout.
    """
    return pairwise_iou(boxes1, boxes2, offset=1.0)


@dataclass(frozen=True)
class DetectionMatches:
    """What the protocol says about the detections of one image.

    Attributes:
        status (array): (D,) int8; 1 true positive, 0 false positive, -1
            ignored (best face not kept: neither right nor wrong).
        gt_index (array): (D,) int64, the face a detection fell on, also of
            duplicates and of ignored detections; -1 where no face overlaps
            enough.
        overlap (array): (D,) float64, IoU (+1 convention) with the best face;
            0 in an image without faces.
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
    iou_thr: float = 0.5,
) -> DetectionMatches:
    """Match the detections of one image to its faces (protocol, step 5).

    1. Each detection takes the face of highest IoU, the first one on ties.
    2. IoU below ``iou_thr``: false positive.
    3. The face is not kept: the detection is ignored.
    4. The face is kept and no earlier detection took it: true positive;
       otherwise the detection is a duplicate, a false positive.

    A detection does not move on to its second-best face when the best one is
    taken, so a detection's face never depends on the other detections.

    Args:
        det_boxes (array): (D, 4) xyxy boxes, **sorted by score, descending**.
        gt_boxes (array): (G, 4) xyxy boxes of all annotated faces, kept or
            not, degenerate ones included.
        keep (array): (G,) bool, faces that count in the subset.
        iou_thr (float): Least IoU of a match, in (0, 1].

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
    gt_index, first, overlap = _assign_faces(det_boxes, gts, iou_thr)
    status = _label(gt_index, first, kept)
    found = np.zeros(len(gts), dtype=bool)
    found[gt_index[status == TRUE_POSITIVE]] = True
    return DetectionMatches(status, gt_index, overlap, found)


def _assign_faces(
    det_boxes: ArrayLike, gt_boxes: ArrayLike, iou_thr: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Best face, whether first to take it, and overlap of each detection."""
    if not 0 < iou_thr <= 1:
        raise ValueError(f'iou_thr must lie in (0, 1], got {iou_thr}')
    index, overlap = _best_overlap(det_boxes, gt_boxes)
    index = np.where(overlap >= iou_thr, index, -1)
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
    step = max(1, _MAX_OVERLAP_ELEMENTS // len(gts))
    for start in range(0, len(dets), step):
        block = slice(start, start + step)
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


def on_patch(
    det_boxes: ArrayLike,
    patch_boxes: ArrayLike,
    thr: float = 0.3,
    share: float = 0.5,
) -> NDArray[np.bool_]:
    """Whether a detection sits on a pasted patch, or on a part of one.

    A detection is on a patch where its IoU with some patch box is at least
    ``thr``, or at least ``share`` of its own area lies inside. The first default
    is the overlap with the patch box at which the paper counts an anchor as the
    patch's (Patch-Combination, SPEC section 3); the second is for what looks like
    a face *in* a patch, a box too small to overlap the whole as much. Patch boxes
    are pixel squares with exclusive ends, so plain areas are used, without the
    +1 convention.

    With alpha = 0.5 the patch has a quarter of its face's area, so a box that
    fits the face has IoU 0.25 with the patch and is *not* on it. At larger
    alpha it is, by this function alone: the evaluation therefore asks only
    for false positives that overlap no face (see :class:`PooledMatches`).

    Args:
        det_boxes (array): (D, 4) xyxy boxes in pixels.
        patch_boxes (array): (P, 4) xyxy patch squares in pixels, x2 exclusive.
        thr (float): Least IoU, in (0, 1].
        share (float): Least share of the detection's area, in (0, 1].

    Returns:
        array: (D,) bool, all False without patches.
    """
    dets = np.asarray(det_boxes, dtype=np.float64).reshape(-1, 4)
    hit = np.zeros(len(dets), dtype=bool)
    for block, hits in _patch_hits(dets, patch_boxes, thr, share):
        hit[block] = hits.any(axis=1)
    return hit


def best_patch_scores(
    det_boxes: ArrayLike,
    det_scores: ArrayLike,
    patch_boxes: ArrayLike,
    thr: float = 0.3,
    share: float = 0.5,
) -> NDArray[np.float64]:
    """Highest score of any detection on each patch.

    Args:
        det_boxes (array): (D, 4) xyxy boxes in pixels.
        det_scores (array): (D,) scores, at least 0.
        patch_boxes (array): (P, 4) xyxy patch squares in pixels, x2 exclusive.
        thr (float): Least IoU of a detection on a patch, see :func:`on_patch`.
        share (float): Or least share of its area.

    Returns:
        array: (P,) float64; 0 for a patch without a detection on it.
    """
    dets = np.asarray(det_boxes, dtype=np.float64).reshape(-1, 4)
    scores = np.asarray(det_scores, dtype=np.float64).reshape(-1, 1)
    best = np.zeros(np.size(patch_boxes) // 4)
    for block, hits in _patch_hits(dets, patch_boxes, thr, share):
        best = np.maximum(best, np.where(hits, scores[block], 0.0).max(axis=0))
    return best


def _patch_hits(
    dets: NDArray[np.float64], patch_boxes: ArrayLike, thr: float, share: float
) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Blocks of detections, each with the (d, P) patches it sits on."""
    for name, value in (('thr', thr), ('share', share)):
        if not 0 < value <= 1:
            raise ValueError(f'{name} must lie in (0, 1], got {value}')
    patches = np.asarray(patch_boxes, dtype=np.float64).reshape(-1, 4)
    if len(patches) == 0:
        return
    step = max(1, _MAX_OVERLAP_ELEMENTS // len(patches))
    for start in range(0, len(dets), step):
        block = slice(start, start + step)
        inter, own, patch = _pairwise_areas(dets[block], patches)
        # Not divided: nothing is on a patch without an intersection.
        enough = (inter >= thr * (own + patch - inter)) | (inter >= share * own)
        yield block, (inter > 0) & enough


@dataclass(frozen=True)
class ImageRecord:
    """Detections and faces of one image, in its original coordinates.

    Attributes:
        img_id (str): Name of the image, ``event/name`` on WIDER FACE.
        det_boxes (array): (D, 4) xyxy boxes in pixels, in any order.
        det_scores (array): (D,) raw scores.
        gt_boxes (array): (G, 4) xyxy boxes of all annotated faces.
        patch_boxes (array | None): (P, 4) squares of the pasted patches, None
            where nothing was pasted.
        det_margins (array | None): (D,) log-odds of the detections, None where
            the detector gave scores only.
        gt_attributes (array | None): (G, 6) int64, see
            :data:`~mmdet_facepatch.evaluation.ground_truth.ATTRIBUTE_VALUES`.
        gt_keep (dict): Subset -> (G,) bool, the faces it keeps; all faces in
            a subset that is not named.
    """

    img_id: str
    det_boxes: NDArray[np.floating]
    det_scores: NDArray[np.floating]
    gt_boxes: NDArray[np.floating]
    patch_boxes: NDArray[np.int64] | None = None
    det_margins: NDArray[np.floating] | None = None
    gt_attributes: NDArray[np.int64] | None = None
    gt_keep: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class PooledMatches:
    """Detections of many images laid end to end, matched to their faces.

    N detections and G faces in I images; faces are numbered over all images in
    the order of the images.

    Attributes:
        scores (array): (N,) raw scores in the precision they came in; inside
            an image descending.
        image (array): (N,) int64, the image a detection is in.
        height (array): (N,) float64, heights of the detections in pixels.
        face (array): (N,) int64, the face a detection fell on, -1 for none.
        first (array): (N,) bool, the first detection on that face.
        on_patch (array): (N,) bool, detections that overlap no face enough to
            match it and sit on a patch or a part of one. Matching a face goes
            before: a box on both is the face's.
        faces_per_image (array): (I,) int64.
        counted (array): (N,) bool, False for the detections of images
            without any face, which the protocol leaves out.
        patch_scores (array): float64, for each patch of all images the highest
            score of a detection on it that matches no face, 0 for none.
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
    iou_thr: float = 0.5,
    patch_thr: float = 0.3,
    count_empty_images: bool = False,
    patch_share: float = 0.5,
) -> PooledMatches:
    """Match every image and lay the results end to end (steps 1, 3 to 5).

    Args:
        images (list[ImageRecord]): One record an image.
        iou_thr (float): Least IoU of a match.
        patch_thr (float): See :func:`on_patch`.
        count_empty_images (bool): Whether detections in images without any
            annotated face are false positives. The protocol leaves such
            images out (step 3; WIDER FACE's validation set has none), which is
            the default. Their scores take part in the normalisation of AP
            either way.
        patch_share (float): See :func:`on_patch`.

    Returns:
        PooledMatches: Matches of all images, in the order of the images.
    """
    _check_margins(images)
    parts: defaultdict[str, list[NDArray]] = defaultdict(list)
    offset = 0
    for record in images:
        matched = _match_record(record, iou_thr, patch_thr, patch_share)
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
    record: ImageRecord, iou_thr: float, patch_thr: float, patch_share: float
) -> dict[str, NDArray]:
    """Attributes of :class:`PooledMatches` for the detections of one image."""
    order = np.argsort(-record.det_scores, kind='stable')
    boxes, scores = record.det_boxes[order], record.det_scores[order]
    face, first, _ = _assign_faces(boxes, record.gt_boxes, iou_thr)
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
        hits = on_patch(boxes[free], record.patch_boxes, patch_thr, patch_share)
        matched['on_patch'][free] = hits
        matched['patch_scores'] = best_patch_scores(
            boxes[free], scores[free], record.patch_boxes, patch_thr, patch_share
        )
    return matched


def _concatenate(parts: list, dtype: type) -> NDArray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)


@dataclass(frozen=True)
class ThresholdBins:
    """How many thresholds each of N scores reaches.

    Counting the detections with ``score >= threshold`` over all images equals
    the protocol's "up to the last prediction with score >= threshold" in each
    image, as the detections of an image are sorted by score. With the bins at
    hand, a count at K thresholds is one histogram, whatever is counted.

    Attributes:
        thresholds (array): (K,) ascending, in the scores' unit and precision.
        index (array): (N,) int64 in [0, K]: a score reaches the first ``index``
            thresholds.
    """

    thresholds: NDArray[np.floating]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, scores: ArrayLike, thresholds: ArrayLike) -> ThresholdBins:
        """Sort scores into bins.

        Args:
            scores (array): (N,) scores.
            thresholds (array): (K,) ascending. They are rounded to the scores'
                precision first, so that a float32 score of 0.9 is at 0.9.

        Raises:
            ValueError: If the thresholds do not ascend.
        """
        values = _as_floating(scores)
        limits = np.asarray(thresholds).reshape(-1).astype(values.dtype)
        if (limits[1:] < limits[:-1]).any():
            raise ValueError('thresholds must ascend')
        return cls(limits, np.searchsorted(limits, values, side='right'))

    def counts(self, mask: ArrayLike) -> NDArray[np.int64]:
        """How many of the masked scores are at or above each threshold.

        Args:
            mask (array): (N,) bool.

        Returns:
            array: (K,) int64, in the order of ``thresholds``.
        """
        size = len(self.thresholds) + 1
        counts = np.bincount(self.index[np.asarray(mask)], minlength=size)
        return counts[:0:-1].cumsum()[::-1]

    def counts_by_image(
        self, mask: NDArray[np.bool_], image: NDArray[np.int64], num_images: int
    ) -> NDArray[np.int64]:
        """As :meth:`counts`, for each image apart.

        Args:
            mask (array): (N,) bool.
            image (array): (N,) int64, image of each score.
            num_images (int): I.

        Returns:
            array: (I, K) int64; its sum over images is :meth:`counts`.
        """
        size = len(self.thresholds) + 1
        cells = image[mask] * size + self.index[mask]
        counts = np.bincount(cells, minlength=num_images * size)
        counts = counts.reshape(num_images, size)[:, :0:-1]
        return counts.cumsum(axis=1)[:, ::-1]


def counts_at(
    scores: ArrayLike, status: ArrayLike, thresholds: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Proposals and recalled faces at each threshold.

    Args:
        scores (array): (N,) scores.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        thresholds (array): (K,) in any order, see :meth:`ThresholdBins.of`.

    Returns:
        tuple: proposals (true and false positives) and recalled faces (true
        positives), each (K,) int64.
    """
    labels = np.asarray(status).reshape(-1)
    limits = np.asarray(thresholds).reshape(-1)
    order = np.argsort(limits, kind='stable')
    bins = ThresholdBins.of(scores, limits[order])
    result = np.empty((2, len(limits)), dtype=np.int64)
    result[0, order] = bins.counts(labels != IGNORED)
    result[1, order] = bins.counts(labels == TRUE_POSITIVE)
    return result[0], result[1]


def _as_floating(scores: ArrayLike) -> NDArray[np.floating]:
    values = np.asarray(scores).reshape(-1)
    if np.issubdtype(values.dtype, np.floating):
        return values
    return values.astype(np.float64)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Quotient of counts, NaN where the denominator is 0.

    Args:
        numerator (array): Counts.
        denominator (array): Counts, of a shape that broadcasts with it.

    Returns:
        array: float64 of the common shape.
    """
    above, below = np.broadcast_arrays(numerator, denominator)
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def precision_recall_at(
    scores: ArrayLike,
    status: ArrayLike,
    num_faces: int,
    deltas: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall of the detections with raw score >= delta.

    Args:
        scores (array): (N,) raw scores of the detections of all images.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        num_faces (int): Faces kept in the subset, over all images.
        deltas (array): (K,) score thresholds.

    Returns:
        tuple: precision and recall, each (K,) float64 in [0, 1]. Precision is
        NaN where no detection counts: nothing was claimed, so nothing can be
        right or wrong. Recall is NaN where the subset has no face.
    """
    proposals, recalled = counts_at(scores, status, deltas)
    return ratio(recalled, proposals), ratio(recalled, num_faces)


def normalise_scores(scores: ArrayLike) -> NDArray[np.float64]:
    """Scale scores to [0, 1] over the whole prediction set (step 2).

    Args:
        scores (array): (N,) scores of **all** detections, ignored ones too.

    Returns:
        array: (N,) float64, ``(s - min) / (max - min)``. Where all scores are
        equal the quotient is undefined (0/0); they become 1 then, so that
        every detection lies above every threshold.
    """
    values = np.asarray(scores, dtype=np.float64).reshape(-1)
    if len(values) == 0:
        return values
    low, high = values.min(), values.max()
    if low == high:
        return np.ones_like(values)
    return (values - low) / (high - low)


def ap_thresholds(num_thresholds: int = NUM_AP_THRESHOLDS) -> NDArray[np.float64]:
    """The thresholds of the official AP on normalised scores, ascending.

    Args:
        num_thresholds (int): T.

    Returns:
        array: (T,) float64, ``1 - t/T`` for t = T, ..., 1 (step 6).
    """
    steps = np.arange(1, num_thresholds + 1, dtype=np.float64)
    return (1.0 - steps / num_thresholds)[::-1]


def ap_from_counts(
    proposals: ArrayLike, recalled: ArrayLike, num_faces: ArrayLike
) -> NDArray[np.float64]:
    """All-point VOC AP of counts at ascending thresholds (step 6).

    Args:
        proposals (array): (..., T) true and false positives at each threshold.
        recalled (array): (..., T) true positives.
        num_faces (array): (...) faces kept.

    Returns:
        array: (...) float64 in [0, 1]; NaN without faces.
    """
    found, total = np.asarray(recalled), np.asarray(num_faces)
    # From here on descending thresholds, so that recall ascends.
    recall = ratio(found, total[..., None])[..., ::-1]
    precision = ratio(found, proposals)[..., ::-1]
    ends = np.zeros_like(recall[..., :1])
    recall = np.concatenate([ends, recall, ends + 1], axis=-1)
    # fmax skips NaN as MATLAB's max does; the point at recall 1 has precision 0.
    precision = np.concatenate([precision, ends], axis=-1)
    envelope = np.fmax.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    ap = (np.diff(recall, axis=-1) * envelope).sum(axis=-1)
    return np.where(total > 0, ap, np.nan)


def average_precision(
    scores: ArrayLike,
    status: ArrayLike,
    num_faces: int,
    num_thresholds: int = NUM_AP_THRESHOLDS,
) -> float:
    """Official AP: all-point VOC AP of the 1000-threshold curve (step 6).

    Blind to scores that all shrink together, hence never to be reported alone.

    Args:
        scores (array): (N,) raw scores of all detections of all images, also
            the ignored ones, which take part in the normalisation.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        num_faces (int): Faces kept in the subset, over all images.
        num_thresholds (int): Number of thresholds.

    Returns:
        float: AP in [0, 1]; 0 without detections, NaN without faces.
    """
    thresholds = ap_thresholds(num_thresholds)
    proposals, recalled = counts_at(normalise_scores(scores), status, thresholds)
    return float(ap_from_counts(proposals, recalled, num_faces))


def calibrated_delta(
    scores: ArrayLike, status: ArrayLike, min_precision: float = 0.99
) -> float | None:
    """Lowest threshold at which precision is at least ``min_precision``.

    The paper takes delta = 0.99 "to keep high precision (> 0.99)"; another
    detector reaches that precision at another score, and this finds it. The
    candidates are the scores of the counted detections. Precision need not
    grow with the threshold: it may dip again above the value returned.

    Args:
        scores (array): (N,) raw scores of the detections of all images.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        min_precision (float): In (0, 1].

    Returns:
        float | None: The threshold, to be used as ``score >= delta``; None
        where no threshold reaches the precision (or nothing was detected).
    """
    if not 0 < min_precision <= 1:
        raise ValueError(f'min_precision must lie in (0, 1], got {min_precision}')
    labels = np.asarray(status).reshape(-1)
    values = _as_floating(scores)[labels != IGNORED]
    order = np.argsort(values)[::-1]
    values, correct = values[order], labels[labels != IGNORED][order] == TRUE_POSITIVE
    precision = correct.cumsum() / np.arange(1, len(values) + 1)
    # Equal scores count together: precision is read after the last of them.
    last = np.append(values[1:] != values[:-1], True)[: len(values)]
    reached = np.flatnonzero(last & (precision >= min_precision))
    return float(values[reached[-1]]) if len(reached) else None
