"""mmcv's compiled operators of deformable convolution, v1 and v2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor

from . import backend, deform_conv


def write_gradients(
    function: Callable[..., Tensor],
    gradient: Tensor,
    inputs: Sequence[Tensor],
    targets: Sequence[Tensor],
) -> None:
    """Write the gradients of a function by its arguments, each into its target."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        output = function(*leaves)
        found = torch.autograd.grad(output, leaves, gradient.to(output.dtype))
    for target, values in zip(targets, found, strict=True):
        target.copy_(values)


class DeformConvOperators:
    """The part of :class:`~.extension.OperatorModule` for deformable convolution."""

    _torchvision: ModuleType | None

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
        write_gradients(
            lambda maps, shifts: self._deform_conv2d(
                _geometry(geometry), maps, shifts, weight
            ),
            grad_output,
            (input, offset),
            (grad_input, grad_offset),
        )

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
        write_gradients(
            lambda kernel: self._deform_conv2d(
                _geometry(geometry), input, offset, kernel
            ),
            grad_output * scale,
            (torch.zeros_like(grad_weight),),
            (grad_weight,),
        )

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
        write_gradients(
            lambda *tensors: self._deform_conv2d(_geometry(geometry), *tensors),
            grad_output,
            inputs,
            targets,
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
