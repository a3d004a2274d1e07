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
3. :func:`average_precision`, :func:`precision_recall_at` and
   :func:`calibrated_delta` count labelled detections above thresholds.

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

import io
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

TRUE_POSITIVE = 1
FALSE_POSITIVE = 0
IGNORED = -1

#: The subsets of WIDER FACE that come with an official ``.mat`` file.
OFFICIAL_SUBSETS = ('easy', 'medium', 'hard')

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
    first = np.asarray(boxes1, dtype=np.float64).reshape(-1, 1, 4)
    second = np.asarray(boxes2, dtype=np.float64).reshape(1, -1, 4)
    sizes = np.minimum(first[..., 2:], second[..., 2:])
    sizes -= np.maximum(first[..., :2], second[..., :2])
    sizes += offset
    inter = np.where((sizes > 0).all(axis=-1), sizes.prod(axis=-1), 0.0)
    area1 = (first[..., 2:] - first[..., :2] + offset).prod(axis=-1)
    area2 = (second[..., 2:] - second[..., :2] + offset).prod(axis=-1)
    # An intersection with extent lies inside both boxes, so the union is
    # positive wherever it divides anything.
    union = np.where(inter > 0, area1 + area2 - inter, 1.0)
    return inter / union


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
    det_boxes: ArrayLike, patch_boxes: ArrayLike, thr: float = 0.3
) -> NDArray[np.bool_]:
    """Whether a detection sits on a pasted patch.

    A detection is on a patch where its IoU with some patch box is at least
    ``thr``. The default is the overlap with the patch box at which the paper
    counts an anchor as the patch's (Patch-Combination, SPEC section 3). Patch
    boxes are pixel squares with exclusive ends, so plain IoU is used, without
    the +1 convention.

    With alpha = 0.5 the patch has a quarter of its face's area, so a box that
    fits the face has IoU 0.25 with the patch and is *not* on it. At larger
    alpha it is, by this function alone: the evaluation therefore asks only
    for false positives that overlap no face (see :class:`PooledMatches`).

    Args:
        det_boxes (array): (D, 4) xyxy boxes in pixels.
        patch_boxes (array): (P, 4) xyxy patch squares in pixels, x2 exclusive.
        thr (float): Least IoU, in (0, 1].

    Returns:
        array: (D,) bool, all False without patches.
    """
    if not 0 < thr <= 1:
        raise ValueError(f'thr must lie in (0, 1], got {thr}')
    dets = np.asarray(det_boxes, dtype=np.float64).reshape(-1, 4)
    patches = np.asarray(patch_boxes, dtype=np.float64).reshape(-1, 4)
    hit = np.zeros(len(dets), dtype=bool)
    if len(patches) == 0:
        return hit
    step = max(1, _MAX_OVERLAP_ELEMENTS // len(patches))
    for start in range(0, len(dets), step):
        block = slice(start, start + step)
        hit[block] = (pairwise_iou(dets[block], patches) >= thr).any(axis=1)
    return hit


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
    """

    img_id: str
    det_boxes: NDArray[np.floating]
    det_scores: NDArray[np.floating]
    gt_boxes: NDArray[np.floating]
    patch_boxes: NDArray[np.integer] | None = None


@dataclass(frozen=True)
class PooledMatches:
    """Detections of many images laid end to end, matched to their faces.

    N detections and G faces in all; faces are numbered over all images in the
    order of the images.

    Attributes:
        scores (array): (N,) raw scores in the precision they came in; inside
            an image descending.
        image (array): (N,) int64, the image a detection is in.
        face (array): (N,) int64, the face a detection fell on, -1 for none.
        first (array): (N,) bool, the first detection on that face.
        on_patch (array): (N,) bool, detections that overlap no face enough to
            match it and sit on a patch. Matching a face goes before: a box on
            both is the face's.
        faces_per_image (array): (I,) int64.
        counted (array): (N,) bool, False for the detections of images
            without any face, which the protocol leaves out.
    """

    scores: NDArray[np.floating]
    image: NDArray[np.int64]
    face: NDArray[np.int64]
    first: NDArray[np.bool_]
    on_patch: NDArray[np.bool_]
    faces_per_image: NDArray[np.int64]
    counted: NDArray[np.bool_]

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

    Returns:
        PooledMatches: Matches of all images, in the order of the images.
    """
    scores, faces, firsts, hits, sizes = [], [], [], [], []
    offset = 0
    for record in images:
        order = np.argsort(-record.det_scores, kind='stable')
        boxes = record.det_boxes[order]
        face, first, _ = _assign_faces(boxes, record.gt_boxes, iou_thr)
        patches = record.patch_boxes
        hit = on_patch(boxes, [] if patches is None else patches, patch_thr)
        scores.append(record.det_scores[order])
        hits.append(hit & (face < 0))
        faces.append(np.where(face >= 0, face + offset, -1))
        firsts.append(first)
        sizes.append(len(boxes))
        offset += len(record.gt_boxes)
    counts = np.array([len(record.gt_boxes) for record in images], dtype=np.int64)
    image = np.repeat(np.arange(len(images), dtype=np.int64), sizes)
    return PooledMatches(
        scores=_concatenate(scores, np.float32),
        image=image,
        face=_concatenate(faces, np.int64),
        first=_concatenate(firsts, np.bool_),
        on_patch=_concatenate(hits, np.bool_),
        faces_per_image=counts,
        counted=(counts[image] > 0) | count_empty_images,
    )


def _concatenate(parts: list, dtype: type) -> NDArray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)


def counts_at(
    scores: ArrayLike, status: ArrayLike, thresholds: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Proposals and recalled faces at each threshold.

    Counting the detections with ``score >= threshold`` over all images equals
    the protocol's "up to the last prediction with score >= threshold" in each
    image, as the detections of an image are sorted by score.

    Args:
        scores (array): (N,) scores.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        thresholds (array): (K,) in the scores' unit. They are rounded to the
            scores' precision first, so that a float32 score of 0.9 is at 0.9.

    Returns:
        tuple: proposals (true and false positives) and recalled faces (true
        positives), each (K,) int64.
    """
    values = _as_floating(scores)
    labels = np.asarray(status).reshape(-1)
    limits = np.asarray(thresholds).reshape(-1).astype(values.dtype)
    proposals = _count_at_least(values[labels != IGNORED], limits)
    recalled = _count_at_least(values[labels == TRUE_POSITIVE], limits)
    return proposals, recalled


def _as_floating(scores: ArrayLike) -> NDArray[np.floating]:
    values = np.asarray(scores).reshape(-1)
    if np.issubdtype(values.dtype, np.floating):
        return values
    return values.astype(np.float64)


def _count_at_least(values: NDArray, limits: NDArray) -> NDArray[np.int64]:
    return len(values) - np.searchsorted(np.sort(values), limits, side='left')


def _ratio(numerator: NDArray, denominator: ArrayLike) -> NDArray[np.float64]:
    """Quotient in float64, NaN where the denominator is 0."""
    below = np.broadcast_to(np.asarray(denominator), numerator.shape)
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, below, out=result, where=below > 0)
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
    return _ratio(recalled, proposals), _ratio(recalled, num_faces)


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


def precision_recall_curve(
    scores: ArrayLike,
    status: ArrayLike,
    num_faces: int,
    num_thresholds: int = 1000,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall at ``1 - t/1000``, t = 1..1000 (step 6).

    Args:
        scores (array): (N,) scores of all detections; normalised here.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        num_faces (int): Faces kept in the subset, over all images.
        num_thresholds (int): Number of thresholds.

    Returns:
        tuple: precision (NaN without proposals) and recall, both (T,).
    """
    steps = np.arange(1, num_thresholds + 1, dtype=np.float64)
    thresholds = 1.0 - steps / num_thresholds
    return precision_recall_at(normalise_scores(scores), status, num_faces, thresholds)


def average_precision(
    scores: ArrayLike,
    status: ArrayLike,
    num_faces: int,
    num_thresholds: int = 1000,
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
    if num_faces == 0:
        return float('nan')
    precision, recall = precision_recall_curve(
        scores, status, num_faces, num_thresholds
    )
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    # fmax skips NaN as MATLAB's max does.
    envelope = np.fmax.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


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
    values = _as_floating(scores)
    candidates = np.unique(values[np.asarray(status).reshape(-1) != IGNORED])
    proposals, recalled = counts_at(values, status, candidates)
    reached = np.flatnonzero(_ratio(recalled, proposals) >= min_precision)
    return float(candidates[reached[0]]) if len(reached) else None


def load_subsets(
    gt_dir: str | Path, names: Sequence[str] = OFFICIAL_SUBSETS
) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Read which faces belong to easy, medium and hard.

    Args:
        gt_dir (str | Path): Folder with ``wider_{name}_val.mat``, as in
            ``eval_tools/ground_truth`` of the official toolkit.
        names (tuple[str]): Subsets to read.

    Returns:
        dict: subset -> ``event/name`` of an image -> (G,) bool, one entry for
        each face annotated there, in annotation order; True where it is kept.

    Raises:
        FileNotFoundError: If a file is missing; names it.
        ValueError: If a file cannot be read as such a list; names file and
            image.
    """
    return {
        name: _load_subset(Path(gt_dir) / f'wider_{name}_val.mat') for name in names
    }


def _load_subset(path: Path) -> dict[str, NDArray[np.bool_]]:
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist. The official subset lists come with '
            'eval_tools.zip of WIDER FACE, folder eval_tools/ground_truth; give '
            'that folder, or no folder to evaluate all faces only.'
        )
    content = _read_mat(path)
    keys = ('event_list', 'file_list', 'face_bbx_list', 'gt_list')
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f'{path} lacks {missing}; not an official subset list')
    try:
        images = list(_iterate_images(*(content[key] for key in keys)))
    except (IndexError, TypeError) as error:
        raise ValueError(
            f'{path} is not laid out as an official subset list: {error}'
        ) from error
    return {
        img_id: _keep_mask(path, img_id, num_faces, indices)
        for img_id, num_faces, indices in images
    }


def _iterate_images(
    events: NDArray, files: NDArray, boxes: NDArray, kept: NDArray
) -> Iterator[tuple[str, int, NDArray]]:
    """Name, number of faces and indices kept of each image (nested cells)."""
    for i, event in enumerate(events[:, 0]):
        for j, name in enumerate(files[i, 0][:, 0]):
            img_id = f'{event[0]}/{name[0]}'
            yield img_id, len(boxes[i, 0][j, 0]), kept[i, 0][j, 0]


def _read_mat(path: Path) -> Mapping[str, NDArray]:
    # Imported here so that the protocol works on arrays without scipy.
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    raw = path.read_bytes()
    try:
        _check_mat_container(raw)
        return loadmat(io.BytesIO(raw))
    except (
        MatReadError,
        NotImplementedError,  # HDF5 (version 7.3)
        OSError,
        TypeError,
        ValueError,
        zlib.error,
    ) as error:
        raise ValueError(f'{path} is not a readable .mat file: {error}') from error


def _check_mat_container(raw: bytes) -> None:
    """Check the lengths and checksums of a MATLAB 5 file.

    scipy parses while it decompresses, before the checksum at the end, and a
    damaged file can take the whole process down there.
    """
    header = 128
    if len(raw) <= header:
        raise ValueError('the file is empty or cut off')
    order = {b'IM': '<', b'MI': '>'}.get(raw[126:128])
    if order is None:
        raise ValueError('it has no header of MATLAB 5')
    position = header
    while position < len(raw):
        if position + 8 > len(raw):
            raise ValueError('the file is cut off')
        kind, size = struct.unpack_from(f'{order}II', raw, position)
        position += 8 + size
        if position > len(raw):
            raise ValueError('the file is cut off')
        if kind == 15:  # compressed
            zlib.decompress(raw[position - size : position])
        elif kind != 14:  # a matrix
            raise ValueError(f'it has an element of unknown type {kind}')


def _keep_mask(
    path: Path, img_id: str, num_faces: int, indices: NDArray
) -> NDArray[np.bool_]:
    """Mask from 1-based indices in a cell of shape (0, 0), (0, 1) or (k, 1)."""
    # Cast before subtracting: the files hold uint8 and uint16.
    index = np.asarray(indices).astype(np.int64).reshape(-1) - 1
    if len(index) and not (index.min() >= 0 and index.max() < num_faces):
        raise ValueError(
            f'{path}: gt_list of {img_id} names face {int(index.max()) + 1} of '
            f'{num_faces}'
        )
    mask = np.zeros(num_faces, dtype=bool)
    mask[index] = True
    if mask.sum() != len(index):
        raise ValueError(f'{path}: gt_list of {img_id} names a face twice')
    return mask
