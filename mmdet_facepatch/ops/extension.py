"""A stand-in for ``mmcv._ext``, the module of mmcv's compiled operators.

Functions have the names, arguments and results of the compiled ones, most of which
write into tensors of the caller. Gradients are those of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from . import backend, deform_conv, focal_loss, nms
from .roi_align import RoIGrid, roi_align, roi_max, roi_max_backward


def _gradients(
    function: Callable[..., Tensor], gradient: Tensor, inputs: Sequence[Tensor]
) -> list[Tensor]:
    """Gradients of a function by each of its arguments."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        output = function(*leaves)
        return list(torch.autograd.grad(output, leaves, gradient.to(output.dtype)))


def _wide(tensor: Tensor) -> Tensor:
    """In float32 at least: half precision is no place for coordinates and sums."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


class OperatorModule(ModuleType):
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
        sorted_boxes = _wide(boxes[order])
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
        aligned_height: int,
        aligned_width: int,
        spatial_scale: float,
        sampling_ratio: int,
        pool_mode: int,
        aligned: bool,
    ) -> None:
        """Writes into ``output`` and, for the maximum, where it is."""
        backend.log_backend()
        grid = RoIGrid(
            (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned
        )
        maps, regions = _wide(input), _wide(rois)
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
        aligned_height: int,
        aligned_width: int,
        spatial_scale: float,
        sampling_ratio: int,
        pool_mode: int,
        aligned: bool,
    ) -> None:
        """Writes into ``grad_input``."""
        if not len(rois):
            return
        grid = RoIGrid(
            (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned
        )
        regions, maps = _wide(rois), torch.zeros_like(_wide(grad_input))
        if pool_mode == 1:
            (maps,) = _gradients(
                lambda maps: self._pool(maps, regions, grid), grad_output, [maps]
            )
        else:
            roi_max_backward(
                _wide(grad_output), regions, _wide(argmax_y), _wide(argmax_x), maps
            )
        grad_input.copy_(maps)

    # --- deformable convolution -------------------------------------------------------

    def _deform_conv2d(
        self,
        geometry: deform_conv.ConvGeometry,
        maps: Tensor,
        offset: Tensor,
        weight: Tensor,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        if self._torchvision is None:
            return deform_conv.deform_conv2d(maps, offset, weight, geometry, mask, bias)
        # It takes the number of groups from the shapes.
        return self._torchvision.deform_conv2d(
            maps,
            offset,
            weight,
            bias,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            mask,
        )

    def deform_conv_forward(
        self,
        input: Tensor,
        weight: Tensor,
        offset: Tensor,
        output: Tensor,
        columns: Tensor,
        ones: Tensor,
        **geometry: int,
    ) -> None:
        """Writes into ``output``."""
        backend.log_backend()
        output.copy_(self._deform_conv2d(_geometry(geometry), input, offset, weight))

    def deform_conv_backward_input(
        self,
        input: Tensor,
        offset: Tensor,
        grad_output: Tensor,
        grad_input: Tensor,
        grad_offset: Tensor,
        weight: Tensor,
        columns: Tensor,
        **geometry: int,
    ) -> None:
        """Writes into ``grad_input`` and ``grad_offset``."""
        gradients = _gradients(
            lambda maps, shifts: self._deform_conv2d(
                _geometry(geometry), maps, shifts, weight
            ),
            grad_output,
            (input, offset),
        )
        grad_input.copy_(gradients[0])
        grad_offset.copy_(gradients[1])

    def deform_conv_backward_parameters(
        self,
        input: Tensor,
        offset: Tensor,
        grad_output: Tensor,
        grad_weight: Tensor,
        columns: Tensor,
        ones: Tensor,
        scale: float,
        **geometry: int,
    ) -> None:
        """Writes into ``grad_weight``."""
        (gradient,) = _gradients(
            lambda kernel: self._deform_conv2d(
                _geometry(geometry), input, offset, kernel
            ),
            grad_output,
            (torch.zeros_like(grad_weight),),
        )
        grad_weight.copy_(gradient * scale)

    def modulated_deform_conv_forward(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor,
        ones: Tensor,
        offset: Tensor,
        mask: Tensor,
        output: Tensor,
        columns: Tensor,
        with_bias: bool,
        **geometry: int,
    ) -> None:
        """Writes into ``output``."""
        backend.log_backend()
        output.copy_(
            self._deform_conv2d(
                _geometry(geometry),
                input,
                offset,
                weight,
                mask,
                bias if with_bias else None,
            )
        )

    def modulated_deform_conv_backward(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor,
        ones: Tensor,
        offset: Tensor,
        mask: Tensor,
        columns: Tensor,
        grad_input: Tensor,
        grad_weight: Tensor,
        grad_bias: Tensor,
        grad_offset: Tensor,
        grad_mask: Tensor,
        grad_output: Tensor,
        with_bias: bool,
        **geometry: int,
    ) -> None:
        """Writes into the five gradients."""
        targets = [grad_input, grad_offset, grad_weight, grad_mask]
        inputs = [input, offset, weight, mask]
        if with_bias:
            targets.append(grad_bias)
            inputs.append(bias)
        gradients = _gradients(
            lambda *tensors: self._deform_conv2d(_geometry(geometry), *tensors),
            grad_output,
            inputs,
        )
        for target, gradient in zip(targets, gradients, strict=True):
            target.copy_(gradient)

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
        gradients = _gradients(
            lambda values, locations, weights: _attention(
                values, spatial_shapes, locations, weights
            ),
            grad_output,
            (value, sampling_locations, attention_weights),
        )
        targets = (grad_value, grad_sampling_loc, grad_attn_weight)
        for target, gradient in zip(targets, gradients, strict=True):
            target.copy_(gradient)

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
            focal_loss.sigmoid_focal_loss(_wide(input), target, weight, gamma, alpha)
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
                _wide(input), target, weight, gamma, alpha
            )
        )


def _geometry(arguments: dict[str, int]) -> deform_conv.ConvGeometry:
    """From the arguments of either of mmcv's operators."""
    stride, padding, dilation = (
        (arguments[f'{new}_h'], arguments[f'{new}_w'])
        if f'{new}_h' in arguments
        else (arguments[f'{old}H'], arguments[f'{old}W'])
        for new, old in (('stride', 'd'), ('pad', 'pad'), ('dilation', 'dilation'))
    )
    return deform_conv.ConvGeometry(stride, padding, dilation, arguments['group'])


def _attention(
    value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor
) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
