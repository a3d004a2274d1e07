"""The attacker: place, paste, read candidates, select samples, compute the loss."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.utils import reduce_mean
from mmengine.dist import get_world_size
from mmengine.model import BaseModel, is_model_wrapper
from torch import Tensor, nn

from ..utils.target_classes import (
    Target,
    TargetLabels,
    check_same,
    class_labels,
    split_target,
)
from .frozen_detector import (
    FrozenDetector,
    detector_digest,
    freeze_detector,
    modules_in_train_mode,
    named_in_part,
)
from .patch.transforms import check_transform, transform_patch
from .placement import all_faces

# Configs give the patch in RGB, mmcv loads images in BGR.
CHANNEL_ORDERS = ('rgb', 'bgr')
# 8-bit images against patch pixels in [0, 1].
PIXEL_SCALE = 255.0


@torch.no_grad()
def _reduce(selected: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What processes must agree on before they know their loss.

    Args:
        selected (list[Tensor]): ``log S`` of this process's samples, (N_t,) for each
            detector.

    Returns:
        tuple[Tensor, Tensor]: Mean number of samples that a process has of each
        detector, (T,) float, and the mean score of all samples of all processes, zero
        without any.
    """
    numbers = [float(len(log_scores)) for log_scores in selected]
    # Under autocast they may have half precision, in which 1,001 is 1,000.
    scores = torch.cat(selected).float().exp().sum()
    together = reduce_mean(torch.cat([scores.new_tensor(numbers), scores[None]]))
    factors, scores = together[:-1], together[-1]
    return factors, scores / factors.sum().clamp(min=torch.finfo(scores.dtype).tiny)


@MODELS.register_module()
class PatchAttacker(BaseModel):
    """A universal patch against a frozen detector, as an mmengine model.

    The patch is the only parameter, and the only thing in the state dict: the
    detector is kept beside the module tree, follows it to its device, stays in
    ``eval()`` and has no parameter gradients. Checkpoints therefore hold the
    patch and not the detector again, and distributed training communicates
    the patch's gradient only.

    A step:

    1. :attr:`placement` turns faces into patch squares.
    2. :attr:`patch_transforms` change the patch at random, for each image anew.
    3. :attr:`compositor` pastes it into the squares.
    4. The reader runs the detector and returns candidates.
    5. :attr:`sample_set` selects among them, for each detector by itself.
    6. :attr:`loss` scores the selected samples.

    Args:
        detector (dict | nn.Module | list[dict | nn.Module]): ``dict(config=...,
            checkpoint=...)`` and whatever else :func:`build_frozen_detector` takes, or
            a built module, or a list of these: an ensemble, attacked by one patch. Its
            dicts may have a ``weight`` (1 by default) on their loss, and a ``reader``
            in place of the common one. Predictions are those of the first.
        patch (dict): Config of the patch (:class:`UniversalPatch`).
        placement (dict, optional): Config of the placement (:class:`PatchPlacement`).
            Defaults to None.
        patch_transforms (Sequence[dict]): Configs of transforms of the patch, see
            :mod:`mmdet_facepatch.attack.patch.transforms`; applied in train mode only.
            Evaluation pastes the patch as it is. Defaults to ().
        compositor (dict, optional): Config of the compositor
            (:class:`PatchCompositor`). Defaults to None.
        reader (dict, optional): Config of the candidate reader; None finds the one of
            the detector's head. Defaults to None.
        sample_set (dict): Config of the adversarial sample set.
        loss (dict, optional): Config of the attack loss. Defaults to None.
        tta_model (dict, optional): Config of the model that merges a test pyramid, or
            None where validation and test pipelines have one scale. Defaults to None.
        channel_order (str): Channel order of the input images, 'bgr' or 'rgb'. Defaults
            to 'bgr'.
        target (Target): What is attacked, gets the patch and is judged: the name of a
            class, or a list of them; ``dict(data='Face', detector='face')`` where the
            names differ. None if data and detector have one class. Defaults to None.
        data_preprocessor (dict, optional): Leave it None: the detector's own is used
            after pasting. Defaults to None.
        init_cfg (dict, optional): As in mmengine. Defaults to None.

    Raises:
        ValueError: If ``channel_order`` is unknown, there is no detector, a weight is
            not positive, or a transform of the patch has trainable parameters.
    """

    frozen: list[FrozenDetector]
    _predictor: BaseModel

    def __init__(
        self,
        detector: dict | nn.Module | list[dict | nn.Module],
        patch: dict,
        sample_set: dict,
        placement: dict | None = None,
        compositor: dict | None = None,
        reader: dict | None = None,
        loss: dict | None = None,
        tta_model: dict | None = None,
        channel_order: str = 'bgr',
        target: Target = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        patch_transforms: Sequence[dict] = (),
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if channel_order not in CHANNEL_ORDERS:
            raise ValueError(
                "PatchAttacker: channel_order must be 'bgr' or 'rgb', "
                f'got {channel_order!r}'
            )
        self.channel_order = channel_order
        self.target = target
        self.patch = MODELS.build(patch)
        self.patch_transforms = nn.ModuleList(
            check_transform(MODELS.build(transform)) for transform in patch_transforms
        )
        self.placement = TASK_UTILS.build(placement or dict(type='PatchPlacement'))
        self.compositor = TASK_UTILS.build(compositor or dict(type='PatchCompositor'))
        self.sample_set = TASK_UTILS.build(sample_set)
        self.loss = MODELS.build(loss or dict(type='AdversarialLoss'))
        several = detector if isinstance(detector, (list, tuple)) else [detector]
        frozen = [
            freeze_detector(one, reader, split_target(target)[1], self.sample_set)
            for one in several
        ]
        if not frozen:
            raise ValueError('PatchAttacker: the list of detectors is empty')
        self._hide_detectors(frozen, tta_model)
        # Of the data that it is trained on; None takes all boxes.
        self.labels: Sequence[int] | None = None

    def _hide_detectors(
        self, frozen: list[FrozenDetector], tta_model: dict | None
    ) -> None:
        """Keep detectors out of parameters, state dict and ``train()``."""
        predictor = frozen[0].module
        if tta_model is not None:
            predictor = MODELS.build(dict(tta_model, module=predictor))
        object.__setattr__(self, 'frozen', frozen)
        object.__setattr__(self, '_predictor', predictor)
        self.detector_digest = self._digest()

    def target_labels(self, classes: Sequence[str] | None, owner: str) -> TargetLabels:
        """Labels of the target in a data set and in the first detector.

        Args:
            classes (Sequence[str], optional): Names of the data set's classes, if it
                has any.
            owner (str): The data set, for an error.

        Raises:
            ValueError: If the data set has no such class, or several where no target is
                named, or its only class is not the detector's.
        """
        first = self.frozen[0]
        if self.target is None:
            check_same(classes, first.classes, first.name)
        data = class_labels(split_target(self.target)[0], classes, None, owner)
        return TargetLabels(data, first.class_ids)

    def _digest(self) -> str:
        """Digest of the detector; of an ensemble, that of its digests."""
        digests = [detector_digest(one.module) for one in self.frozen]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256(' '.join(digests).encode()).hexdigest()

    @property
    def detector(self) -> nn.Module:
        """The frozen detector, of an ensemble the first."""
        return self.frozen[0].module

    @property
    def detectors(self) -> list[nn.Module]:
        """All frozen detectors."""
        return [one.module for one in self.frozen]

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> PatchAttacker:
        # .to(), .cuda() and .cpu() all end here: the detectors come along.
        super()._apply(fn, *args, **kwargs)
        detector: Any
        for detector in self.detectors:
            detector._apply(fn, *args, **kwargs)
            detector._set_device(next(self.parameters()).device)
        return self

    def check_detector(self) -> None:
        """Prove that the detector is what it was when it was loaded.

        Raises:
            RuntimeError: If any weight, buffer or module's mode has changed.
        """
        digest = self._digest()
        if digest == self.detector_digest:
            return
        training = [
            name or type(detector).__name__
            for detector in self.detectors
            for name in modules_in_train_mode(detector)
        ]
        modes = f', {named_in_part(training)} in train mode' if training else ''
        raise RuntimeError(
            'the detector under attack has changed: digest '
            f'{self.detector_digest[:12]} when it was loaded, {digest[:12]} '
            f'now{modes}. The results of this run are void; find what wrote to it.'
        )

    def paste(
        self, images: list[Tensor], faces: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Place and paste the patch on every face.

        In train mode :attr:`patch_transforms` change the patch for each image.

        Args:
            images (list[Tensor]): 8-bit images or floats in [0, 255], each (3, H, W).
            faces (list[Tensor]): Faces of each image, (G, 4) float xyxy, pixels.

        Returns:
            tuple[list[Tensor], list[Tensor]]: Images (3, H, W) float in [0, 255],
            differentiable in the patch, and the squares of the patches, (G, 4) int64
            xyxy, pixels.
        """
        squares = [self.placement(boxes) for boxes in faces]
        pixels = self.patch()
        floats = [image.to(pixels.dtype) for image in images]
        if not (self.training and len(self.patch_transforms)):
            return self.compositor(floats, self._as_images(pixels), squares), squares
        patches = transform_patch(pixels, list(self.patch_transforms), len(images))
        pasted = [
            self.compositor([image], self._as_images(patch), [boxes])[0]
            for image, patch, boxes in zip(floats, patches, squares, strict=True)
        ]
        return pasted, squares

    def _as_images(self, pixels: Tensor) -> Tensor:
        """RGB in [0, 1] in the range and channel order of the images."""
        pixels = pixels * PIXEL_SCALE
        return pixels.flip(0) if self.channel_order == 'bgr' else pixels

    def forward(
        self,
        inputs: list[Tensor],
        data_samples: list[DetDataSample],
        mode: str = 'loss',
    ) -> dict[str, Tensor]:
        """Attack loss of a batch.

        Args:
            inputs (list[Tensor]): 8-bit images, each (3, H, W), sizes may differ.
            data_samples (list[DetDataSample]): Their annotations, in pixels of these
                images.
            mode (str): 'loss'. Prediction goes through :meth:`val_step`. Defaults to
                'loss'.

        Returns:
            dict[str, Tensor]: ``loss_adv`` (``loss_adv_0``, ... of an ensemble, times
            their weights) and, for the log, ``num_samples``, ``mean_score`` of the
            samples (0 without samples) and ``empty`` (1 if there were none). The last
            three count the samples of all processes, and the loss is such that the mean
            of all processes' gradients is that of the mean over all their samples.

        Raises:
            ValueError: For another mode.
        """
        if mode != 'loss':
            raise ValueError(f"PatchAttacker: mode is {mode!r}, only 'loss' is known")
        faces = [all_faces(sample, self.labels) for sample in data_samples]
        images, squares = self.paste(inputs, faces)
        # Detectors do not change the list, though their preprocessors pad.
        selected = [
            self._samples(frozen, images, data_samples, faces, squares)
            for frozen in self.frozen
        ]
        factors, mean_score = _reduce(selected)
        losses = {
            f'loss_adv_{i}': frozen.weight * self.loss(log_scores, factor)
            for i, (frozen, log_scores, factor) in enumerate(
                zip(self.frozen, selected, factors, strict=True)
            )
        }
        if len(losses) == 1:
            losses = {'loss_adv': losses.pop('loss_adv_0')}
        # A batch without faces does not depend on the patch; the zero ties it.
        first = next(iter(losses))
        losses[first] = losses[first] + 0 * self.patch().sum()
        num_samples = factors.sum() * get_world_size()
        return dict(
            **losses,
            num_samples=num_samples,
            mean_score=mean_score,
            empty=(num_samples == 0).to(num_samples),
        )

    def _samples(
        self,
        frozen: FrozenDetector,
        images: list[Tensor],
        data_samples: list[DetDataSample],
        faces: list[Tensor],
        squares: list[Tensor],
    ) -> Tensor:
        """``log S`` of the samples that one detector offers, (N,) float."""
        detector: Any = frozen.module
        batch = detector.data_preprocessor(
            dict(inputs=images, data_samples=data_samples), False
        )
        found = frozen.reader(detector, batch['inputs'], batch['data_samples'])
        log_scores = []
        for candidates, boxes, patches in zip(found, faces, squares, strict=True):
            index = frozen.sample_set(candidates, boxes, patches.to(boxes))
            # No comparison selects a NaN; adding it propagates the NaN into the loss.
            unclear = torch.nonzero(candidates.log_scores.isnan()).squeeze(1)
            log_scores.append(candidates.log_scores[torch.cat([index, unclear])])
        return torch.cat(log_scores)

    @torch.no_grad()
    def val_step(self, data: dict | tuple | list) -> list[DetDataSample]:
        """Detections of the frozen detector on images that come as they are.

        Patches are already in the images: :class:`PastePatch` pastes them on
        the original, before any resize.

        Args:
            data (dict | tuple | list): A batch of the validation or test pipeline.

        Returns:
            list[DetDataSample]: Samples with ``pred_instances``.
        """
        return self._predictor.test_step(data)

    test_step = val_step


def find_attacker(model: nn.Module) -> PatchAttacker | None:
    """The attacker, also inside a distributed wrapper; None for other models."""
    module = model.module if is_model_wrapper(model) else model
    return module if isinstance(module, PatchAttacker) else None


def attacker_of(model: nn.Module) -> PatchAttacker:
    """The attacker, also inside a distributed wrapper.

    Args:
        model (nn.Module): What a runner holds as its model.

    Raises:
        TypeError: If it is no attacker.
    """
    attacker = find_attacker(model)
    if attacker is None:
        raise TypeError(
            'an attack loop, hook or condition needs a PatchAttacker as the model, '
            f'but got {type(model).__name__}; set model.type in the config'
        )
    return attacker
