"""Adversarial sample sets: which candidates the attack acts on.

Every sample is (anchor A, face B, score S, patch P); the paper's methods
differ in the set of samples only (section 3.2 and 4.2, Fig. 4).
"""

from __future__ import annotations

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from ..models.task_modules import best_overlaps
from .candidates import Candidates


@torch.no_grad()
def patch_iou_samples(anchors: Tensor, faces: Tensor, iou_thr: float) -> Tensor:
    """Anchors with ``IoU(A, B) > iou_thr`` for some face B.

    Args:
        anchors: (A, 4) float xyxy, pixels.
        faces: (G, 4) float xyxy, pixels.
        iou_thr: IoU that must be exceeded.

    Returns:
        Indices of the samples, (N,) int64, ascending.
    """
    overlaps, _ = best_overlaps(anchors, faces, above=iou_thr)
    return torch.nonzero(overlaps > iou_thr).squeeze(1)


@torch.no_grad()
def patch_score_samples(scores: Tensor, score_thr: float) -> Tensor:
    """Anchors with ``S > score_thr``, wherever they lie.

    Args:
        scores: (A,) float in [0, 1].
        score_thr: Score that must be exceeded, the paper's ``delta - m``.

    Returns:
        Indices of the samples, (N,) int64, ascending.
    """
    return torch.nonzero(scores > score_thr).squeeze(1)


@torch.no_grad()
def patch_combination_samples(
    anchors: Tensor,
    scores: Tensor,
    faces: Tensor,
    patches: Tensor,
    score_thr: float,
    face_iou_thr: float,
    patch_iou_thr: float,
) -> Tensor:
    """Anchors that score high and lie on a face or on a patch.

    ``S > score_thr`` and (``IoU(A, B) > face_iou_thr`` or
    ``IoU(A, P) > patch_iou_thr``) for some face B or pasted patch P.

    Args:
        anchors: (A, 4) float xyxy, pixels.
        scores: (A,) float in [0, 1].
        faces: (G, 4) float xyxy, pixels.
        patches: (M, 4) float xyxy, pixels: where patches were pasted.
        score_thr: The paper's ``delta - m``.
        face_iou_thr: The paper's ``lambda_1``.
        patch_iou_thr: The paper's ``lambda_2``.

    Returns:
        Indices of the samples, (N,) int64, ascending.
    """
    high = patch_score_samples(scores, score_thr)
    # Few anchors score high, so only theirs are overlaps worth computing.
    on_face, _ = best_overlaps(anchors[high], faces, above=face_iou_thr)
    on_patch, _ = best_overlaps(anchors[high], patches, above=patch_iou_thr)
    return high[(on_face > face_iou_thr) | (on_patch > patch_iou_thr)]


def _check_unit(name: str, **values: float) -> None:
    for key, value in values.items():
        if not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise ValueError(f'{name}: {key} must be in [0, 1), got {value!r}')


@TASK_UTILS.register_module()
class PatchIoUSampleSet:
    """Sample set of *Patch-IoU* (section 3.2): anchors on faces.

    In the paper these are the positives of the detector's training. Here they are
    whatever exceeds ``iou_thr``, however the detector was trained, and on all faces
    that got a patch: on ignored ones as well, and on the whole of a face that a crop
    cuts.

    Args:
        iou_thr: IoU with a face that must be exceeded.

    Raises:
        ValueError: If ``iou_thr`` is outside [0, 1).
    """

    def __init__(self, iou_thr: float = 0.6) -> None:
        _check_unit('PatchIoUSampleSet', iou_thr=iou_thr)
        self.iou_thr = iou_thr

    def __call__(self, candidates: Candidates, faces: Tensor,
                 patches: Tensor) -> Tensor:
        """Select samples of one image.

        Args:
            candidates: Anchors and scores of the image.
            faces: (G, 4) float xyxy, pixels.
            patches: Not used by this set.

        Returns:
            Indices of the samples, (N,) int64.
        """
        return patch_iou_samples(candidates.boxes, faces, self.iou_thr)


@TASK_UTILS.register_module()
class PatchScoreSampleSet:
    """Sample set of *Patch-Score*: whatever scores like a face (section 4.2).

    *Patch-Score-Focal* is the same set under another loss,
    :class:`~mmdet_facepatch.attack.losses.FocalAdversarialLoss`.

    Args:
        score_thr: Score that must be exceeded, ``delta - m``.

    Raises:
        ValueError: If ``score_thr`` is outside [0, 1).
    """

    def __init__(self, score_thr: float = 0.5) -> None:
        _check_unit('PatchScoreSampleSet', score_thr=score_thr)
        self.score_thr = score_thr

    def __call__(self, candidates: Candidates, faces: Tensor,
                 patches: Tensor) -> Tensor:
        """Select samples of one image.

        Args:
            candidates: Anchors and scores of the image.
            faces: Not used by this set.
            patches: Not used by this set.

        Returns:
            Indices of the samples, (N,) int64.
        """
        return patch_score_samples(candidates.scores, self.score_thr)


@TASK_UTILS.register_module()
class PatchCombinationSampleSet:
    """Sample set of *Patch-Combination* (section 4.2).

    Args:
        score_thr: Score that must be exceeded, ``delta - m``.
        face_iou_thr: IoU with a face, ``lambda_1``.
        patch_iou_thr: IoU with a pasted patch, ``lambda_2``.

    Raises:
        ValueError: If a threshold is outside [0, 1).
    """

    def __init__(self, score_thr: float = 0.5, face_iou_thr: float = 0.3,
                 patch_iou_thr: float = 0.3) -> None:
        _check_unit('PatchCombinationSampleSet', score_thr=score_thr,
                    face_iou_thr=face_iou_thr, patch_iou_thr=patch_iou_thr)
        self.score_thr = score_thr
        self.face_iou_thr = face_iou_thr
        self.patch_iou_thr = patch_iou_thr

    def __call__(self, candidates: Candidates, faces: Tensor,
                 patches: Tensor) -> Tensor:
        """Select samples of one image.

        Args:
            candidates: Anchors and scores of the image.
            faces: (G, 4) float xyxy, pixels.
            patches: (M, 4) float xyxy, pixels.

        Returns:
            Indices of the samples, (N,) int64.
        """
        return patch_combination_samples(
            candidates.boxes, candidates.scores, faces, patches,
            self.score_thr, self.face_iou_thr, self.patch_iou_thr)
