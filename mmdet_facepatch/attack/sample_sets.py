"""Adversarial sample sets: which candidates the attack acts on.

Every sample is (anchor A, face B, score S, patch P); the paper's methods
differ in the set of samples only (section 3.2 and 4.2, Fig. 4).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor, nn

from ..models.task_modules import best_overlaps
from .candidates import Candidates


@torch.no_grad()
def patch_iou_samples(anchors: Tensor, faces: Tensor, face_iou_thr: float) -> Tensor:
    """Anchors with ``IoU(A, B) > face_iou_thr`` for some face B.

    Args:
        anchors (Tensor): (A, 4) float xyxy, pixels.
        faces (Tensor): (G, 4) float xyxy, pixels.
        face_iou_thr (float): IoU that must be exceeded.

    Returns:
        Tensor: Indices of the samples, (N,) int64, ascending.
    """
    overlaps, _ = best_overlaps(anchors, faces, above=face_iou_thr)
    return torch.nonzero(overlaps > face_iou_thr).squeeze(1)


@torch.no_grad()
def patch_score_samples(scores: Tensor, score_thr: float) -> Tensor:
    """Anchors with ``S > score_thr``, wherever they lie.

    Args:
        scores (Tensor): (A,) float in [0, 1].
        score_thr (float): Score that must be exceeded, the paper's ``delta - m``.

    Returns:
        Tensor: Indices of the samples, (N,) int64, ascending.
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
        anchors (Tensor): (A, 4) float xyxy, pixels.
        scores (Tensor): (A,) float in [0, 1].
        faces (Tensor): (G, 4) float xyxy, pixels.
        patches (Tensor): (M, 4) float xyxy, pixels: where patches were pasted.
        score_thr (float): The paper's ``delta - m``.
        face_iou_thr (float): The paper's ``lambda_1``.
        patch_iou_thr (float): The paper's ``lambda_2``.

    Returns:
        Tensor: Indices of the samples, (N,) int64, ascending.
    """
    high = patch_score_samples(scores, score_thr)
    # Few anchors score high, so only theirs are overlaps worth computing.
    on_face, _ = best_overlaps(anchors[high], faces, above=face_iou_thr)
    on_patch, _ = best_overlaps(anchors[high], patches, above=patch_iou_thr)
    return high[(on_face > face_iou_thr) | (on_patch > patch_iou_thr)]


class SampleSet(ABC):
    """Selects samples among the candidates of one image.

    Args:
        **thresholds (float): To be checked, each in [0, 1).

    Raises:
        ValueError: If a threshold is outside [0, 1).
    """

    def __init__(self, **thresholds: float) -> None:
        for key, value in thresholds.items():
            if not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise ValueError(
                    f'{type(self).__name__}: {key} must be in [0, 1), got {value!r}'
                )

    def of_detector(self, detector: nn.Module, name: str) -> SampleSet:
        """The sample set of one detector; :class:`PatchAttacker` asks for each.

        Args:
            detector (nn.Module): The detector under attack, frozen.
            name (str): What it is called in an error.

        Returns:
            SampleSet: Itself, unless the selection depends on the detector.
        """
        return self

    @abstractmethod
    def __call__(
        self, candidates: Candidates, faces: Tensor, patches: Tensor
    ) -> Tensor:
        """Select samples of one image.

        Args:
            candidates (Candidates): Anchors and scores of the image.
            faces (Tensor): (G, 4) float xyxy, pixels.
            patches (Tensor): (M, 4) float xyxy, pixels.

        Returns:
            Tensor: Indices of the samples, (N,) int64.
        """


@TASK_UTILS.register_module()
class PatchIoUSampleSet(SampleSet):
    """Sample set of *Patch-IoU* (section 3.2): anchors on faces.

    In the paper these are the positives of the detector's training. Here they are
    whatever exceeds ``face_iou_thr``, however the detector was trained
    (:class:`DetectorPositivesSampleSet` asks its own assigner), and on all faces that
    got a patch: on ignored ones as well, and on the whole of a face that a crop cuts.

    Args:
        face_iou_thr (float): IoU with a face that must be exceeded. Defaults to 0.6.
    """

    def __init__(self, face_iou_thr: float = 0.6) -> None:
        super().__init__(face_iou_thr=face_iou_thr)
        self.face_iou_thr = face_iou_thr

    def __call__(
        self, candidates: Candidates, faces: Tensor, patches: Tensor
    ) -> Tensor:
        return patch_iou_samples(candidates.boxes, faces, self.face_iou_thr)


@TASK_UTILS.register_module()
class PatchScoreSampleSet(SampleSet):
    """Sample set of *Patch-Score*: whatever scores like a face (section 4.2).

    *Patch-Score-Focal* is the same set under another loss,
    :class:`~mmdet_facepatch.attack.losses.FocalAdversarialLoss`.

    Args:
        score_thr (float): Score that must be exceeded, ``delta - m``. Defaults to 0.5.
    """

    def __init__(self, score_thr: float = 0.5) -> None:
        super().__init__(score_thr=score_thr)
        self.score_thr = score_thr

    def __call__(
        self, candidates: Candidates, faces: Tensor, patches: Tensor
    ) -> Tensor:
        return patch_score_samples(candidates.scores, self.score_thr)


@TASK_UTILS.register_module()
class PatchCombinationSampleSet(SampleSet):
    """Sample set of *Patch-Combination* (section 4.2).

    Args:
        score_thr (float): Score that must be exceeded, ``delta - m``. Defaults to 0.5.
        face_iou_thr (float): IoU with a face, ``lambda_1``. Defaults to 0.3.
        patch_iou_thr (float): IoU with a pasted patch, ``lambda_2``. Defaults to 0.3.
    """

    def __init__(
        self,
        score_thr: float = 0.5,
        face_iou_thr: float = 0.3,
        patch_iou_thr: float = 0.3,
    ) -> None:
        super().__init__(
            score_thr=score_thr, face_iou_thr=face_iou_thr, patch_iou_thr=patch_iou_thr
        )
        self.score_thr = score_thr
        self.face_iou_thr = face_iou_thr
        self.patch_iou_thr = patch_iou_thr

    def __call__(
        self, candidates: Candidates, faces: Tensor, patches: Tensor
    ) -> Tensor:
        return patch_combination_samples(
            candidates.boxes,
            candidates.scores,
            faces,
            patches,
            self.score_thr,
            self.face_iou_thr,
            self.patch_iou_thr,
        )
