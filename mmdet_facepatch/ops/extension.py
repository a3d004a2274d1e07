"""A stand-in for ``mmcv._ext``, the module of mmcv's compiled operators.

Functions have the names, arguments and results of the compiled ones, most of which
write into tensors of the caller. Gradients are those of torch.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from . import backend, focal_loss, nms
from .conv_operators import DeformConvOperators, write_gradients
from .roi_align import RoIGrid, roi_align, roi_max, roi_max_backward


class OperatorModule(DeformConvOperators, ModuleType):
    """Module with the operators that detectors need.

    Args:
        name (str): Its name, ``mmcv._ext``.
        torchvision (ModuleType, optional): ``torchvision.ops``, whose operators are
            then used where they are the same as mmcv's. Defaults to None.
        origin (Backend, optional): What :func:`provide_operators` says of them.
            Defaults to None.
    """

    def __init__(
        self,
        name: str,
        torchvision: ModuleType | None = None,
        origin: backend.Backend | None = None,
    ) -> None:
        super().__init__(name, __doc__)
        # importlib.util.find_spec asks for it.
        self.__spec__ = ModuleSpec(name, None)
        self._torchvision = torchvision
        self.backend = origin

    def __getattr__(self, name: str) -> Callable:
        # mmcv looks up all its operators when it is imported.
        if name.startswith('_'):
            raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')

        def missing(*args: Any, **kwargs: Any) -> None:
            raise backend.MissingOperatorError(name)

        return missing

    def get_compiler_version(self) -> str:
        """What :mod:`mmcv.ops.info` says of the compiler."""
        return 'not compiled'

    def get_compiling_cuda_version(self) -> str:
        """What :mod:`mmcv.ops.info` says of CUDA."""
        return 'not available'

    # --- suppression ------------------------------------------------------------------

    def nms(
        self, boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int
    ) -> Tensor:
        """See :func:`mmdet_facepatch.ops.nms.nms`."""
        backend.log_backend()
        if self._torchvision is None or offset or not len(boxes):
            return nms.nms(boxes, scores, iou_threshold, offset)
        # As mmcv, which compares in float32, and which orders equal scores otherwise.
        threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
        order = scores.sort(dim=0, descending=True).indices
        sorted_boxes = nms.wide(boxes[order])
        rank = torch.arange(len(order), 0, -1, device=boxes.device)
        return order[
            self._torchvision.nms(sorted_boxes, rank.to(sorted_boxes.dtype), threshold)
        ]

    def softnms(
        self,
        boxes: Tensor,
        scores: Tensor,
        dets: Tensor,
        iou_threshold: float,
        sigma: float,
        min_score: float,
        method: int,
        offset: int,
    ) -> Tensor:
        """See :func:`mmdet_facepatch.ops.nms.soft_nms`; writes into ``dets``."""
        backend.log_backend()
        result, indices = nms.soft_nms(
            boxes, scores, iou_threshold, sigma, min_score, method, offset
        )
        dets[: len(result)] = result.to(dets.dtype)
        return indices

    def nms_match(self, dets: Tensor, iou_threshold: float) -> list[list[int]]:
        """See :func:`mmdet_facepatch.ops.nms.nms_match`."""
        return nms.nms_match(dets, iou_threshold)

    # --- regions ----------------------------------------------------------------------

    def _pool(self, maps: Tensor, rois: Tensor, grid: RoIGrid) -> Tensor:
        # torchvision's gradient on CUDA is summed up in any order.
        if self._torchvision is None or torch.are_deterministic_algorithms_enabled():
            return roi_align(maps, rois, grid)
        return self._torchvision.roi_align(
            maps,
            rois,
            grid.output_size,
            grid.spatial_scale,
            grid.sampling_ratio,
            grid.aligned,
        )

    def roi_align_forward(
        self,
        input: Tensor,
        rois: Tensor,
        output: Tensor,
        argmax_y: Tensor,
        argmax_x: Tensor,
        pool_mode: int,
        **layout: Any,
    ) -> None:
        """Writes into ``output`` and, for the maximum, where it is."""
        backend.log_backend()
        grid, maps, regions = _grid(layout), nms.wide(input), nms.wide(rois)
        if pool_mode == 1:
            output.copy_(self._pool(maps, regions, grid))
            return
        for target, source in zip(
            (output, argmax_y, argmax_x), roi_max(maps, regions, grid), strict=True
        ):
            target.copy_(source)

    def roi_align_backward(
        self,
        grad_output: Tensor,
        rois: Tensor,
        argmax_y: Tensor,
        argmax_x: Tensor,
        grad_input: Tensor,
        pool_mode: int,
        **layout: Any,
    ) -> None:
        """Writes into ``grad_input``."""
        if not len(rois):
            return
        grid, regions = _grid(layout), nms.wide(rois)
        maps = torch.zeros_like(nms.wide(grad_input))
        if pool_mode == 1:
            write_gradients(
                lambda maps: self._pool(maps, regions, grid),
                grad_output,
                [maps],
                [grad_input],
            )
            return
        roi_max_backward(
            nms.wide(grad_output), regions, nms.wide(argmax_y), nms.wide(argmax_x), maps
        )
        grad_input.copy_(maps)

    # --- attention and loss, which mmcv calls on GPUs ---------------------------------

    def ms_deform_attn_forward(
        self,
        value: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
        im2col_step: int,
    ) -> Tensor:
        """mmcv's own implementation in torch."""
        backend.log_backend()
        return _attention(value, spatial_shapes, sampling_locations, attention_weights)

    def ms_deform_attn_backward(
        self,
        value: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
        grad_output: Tensor,
        grad_value: Tensor,
        grad_sampling_loc: Tensor,
        grad_attn_weight: Tensor,
        im2col_step: int,
    ) -> None:
        """Writes into the three gradients."""
        write_gradients(
            lambda values, locations, weights: _attention(
                values, spatial_shapes, locations, weights
            ),
            grad_output,
            (value, sampling_locations, attention_weights),
            (grad_value, grad_sampling_loc, grad_attn_weight),
        )

    def sigmoid_focal_loss_forward(
        self,
        input: Tensor,
        target: Tensor,
        weight: Tensor,
        output: Tensor,
        gamma: float,
        alpha: float,
    ) -> None:
        """See :mod:`mmdet_facepatch.ops.focal_loss`; writes into ``output``."""
        backend.log_backend()
        output.copy_(
            focal_loss.sigmoid_focal_loss(nms.wide(input), target, weight, gamma, alpha)
        )

    def sigmoid_focal_loss_backward(
        self,
        input: Tensor,
        target: Tensor,
        weight: Tensor,
        grad_input: Tensor,
        gamma: float,
        alpha: float,
    ) -> None:
        """Writes into ``grad_input``."""
        grad_input.copy_(
            focal_loss.sigmoid_focal_loss_gradient(
                nms.wide(input), target, weight, gamma, alpha
            )
        )


def _grid(layout: dict[str, Any]) -> RoIGrid:
    """From the arguments of mmcv's operators."""
    size = layout.pop('aligned_height'), layout.pop('aligned_width')
    return RoIGrid(output_size=size, **layout)


def _attention(
    value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor
) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
