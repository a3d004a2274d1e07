"""Random transforms of the patch, applied between the patch and the compositor.

A printed patch is lit, photographed and held at an angle. An attack that is to survive
this applies such changes while it optimises (expectation over transformation, Athalye
et al., *Synthesizing Robust Adversarial Examples*, ICML 2018).

A transform is an ``nn.Module`` that takes patches (B, 3, H, W) float RGB in [0, 1], one
for each image of the batch, and returns as many, differentiably. It must have no
trainable parameters. Modules of ``kornia.augmentation`` fit as they are, once they are
registered: ``MODELS.register_module(module=kornia.augmentation.RandomGaussianBlur)``.

Random values are drawn on the CPU from torch's global generator, which the training
loops seed anew for each step: all devices draw the same, and a resumed attack draws
what the uninterrupted one does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn


def transform_patch(
    pixels: Tensor, transforms: Sequence[nn.Module], count: int
) -> Tensor:
    """Apply transforms to copies of a patch, and clamp the result into [0, 1].

    Args:
        pixels (Tensor): Patch, (3, H, W) float RGB in [0, 1].
        transforms (Sequence[nn.Module]): Applied in this order.
        count (int): Number of copies B.

    Returns:
        Tensor: (B, 3, h, w) in the dtype of ``pixels`` and in [0, 1], differentiable in
        it.

    Raises:
        ValueError: If a transform returns another number of patches or channels.
    """
    patches = pixels.expand(count, *pixels.shape)
    for transform in transforms:
        shape = patches.shape
        patches = transform(patches)
        if patches.ndim != 4 or patches.shape[:2] != shape[:2]:
            raise ValueError(
                f'patch transform {type(transform).__name__} returned the shape '
                f'{tuple(patches.shape)} for {tuple(shape)}; it must keep the number '
                'of patches and the three channels'
            )
    return patches.to(pixels.dtype).clamp(0, 1)


def check_transform(transform: nn.Module) -> nn.Module:
    """Return a transform, or raise ValueError if the optimiser would train it."""
    trained = [name for name, p in transform.named_parameters() if p.requires_grad]
    if trained:
        raise ValueError(
            f'patch transform {type(transform).__name__} has trainable parameters '
            f'({", ".join(trained)}): the attack optimises the patch alone; set their '
            'requires_grad to False'
        )
    return transform


def _check_amount(transform: nn.Module, below: float, **values: float) -> None:
    for key, value in values.items():
        if not 0 <= value < below:
            raise ValueError(
                f'{type(transform).__name__}: {key} must be in [0, {below:g}), '
                f'got {value}'
            )


def _uniform(low: float, high: float, shape: Sequence[int], like: Tensor) -> Tensor:
    """Uniform values on the device of ``like``, the same on every device."""
    return (low + (high - low) * torch.rand(*shape)).to(like)


@MODELS.register_module()
class PatchColorJitter(nn.Module):
    """Random brightness and contrast, as light and exposure change them.

    ``c * (x - 1 / 2) + 1 / 2 + b`` with one ``c`` and one ``b`` for each patch, uniform
    in ``[1 - contrast, 1 + contrast]`` and ``[-brightness, brightness]``.

    Args:
        brightness (float): Largest offset, in [0, 1). Defaults to 0.1.
        contrast (float): Largest change of the factor, in [0, 1). Defaults to 0.2.

    Raises:
        ValueError: If an amount is out of range.
    """

    def __init__(self, brightness: float = 0.1, contrast: float = 0.2) -> None:
        super().__init__()
        _check_amount(self, 1, brightness=brightness, contrast=contrast)
        self.brightness = brightness
        self.contrast = contrast

    def forward(self, patches: Tensor) -> Tensor:
        """Jitter patches.

        Args:
            patches (Tensor): (B, 3, H, W) float RGB in [0, 1].

        Returns:
            Tensor: Likewise; values may exceed [0, 1].
        """
        shape = len(patches), 1, 1, 1
        factor = _uniform(1 - self.contrast, 1 + self.contrast, shape, patches)
        offset = _uniform(-self.brightness, self.brightness, shape, patches)
        return factor * (patches - 0.5) + 0.5 + offset

    def extra_repr(self) -> str:
        """What torch shows of the transform."""
        return f'brightness={self.brightness}, contrast={self.contrast}'


@MODELS.register_module()
class PatchNoise(nn.Module):
    """Gaussian noise on every value, as sensors and printers add it.

    Args:
        std (float): Standard deviation, in [0, 1). Defaults to 0.02.

    Raises:
        ValueError: If ``std`` is out of range.
    """

    def __init__(self, std: float = 0.02) -> None:
        super().__init__()
        _check_amount(self, 1, std=std)
        self.std = std

    def forward(self, patches: Tensor) -> Tensor:
        """Add noise to patches.

        Args:
            patches (Tensor): (B, 3, H, W) float RGB in [0, 1].

        Returns:
            Tensor: Likewise; values may exceed [0, 1].
        """
        return patches + self.std * torch.randn(patches.shape).to(patches)

    def extra_repr(self) -> str:
        """What torch shows of the transform."""
        return f'std={self.std}'


@MODELS.register_module()
class PatchPerspective(nn.Module):
    """Random rotation and perspective, as of a patch that is held at an angle.

    Each patch is turned about its centre by an angle uniform in ``[-angle, angle]``;
    then each corner moves by up to ``distortion`` of half a side along either axis,
    uniformly. Sampling is bilinear. The patch stays an opaque square: where the view
    shows what lies beyond the patch, its outermost pixels are repeated.

    Args:
        angle (float): Largest rotation, degrees, in [0, 180). Defaults to 10.
        distortion (float): Largest move of a corner, in [0, 0.5), in which any four
            corners are a convex quadrilateral. Defaults to 0.1.

    Raises:
        ValueError: If an amount is out of range.
    """

    def __init__(self, angle: float = 10.0, distortion: float = 0.1) -> None:
        super().__init__()
        _check_amount(self, 180, angle=angle)
        _check_amount(self, 0.5, distortion=distortion)
        self.angle = angle
        self.distortion = distortion

    def forward(self, patches: Tensor) -> Tensor:
        """View patches at an angle.

        Args:
            patches (Tensor): (B, 3, H, W) float RGB in [0, 1].

        Returns:
            Tensor: Likewise, in [0, 1].
        """
        count, _, height, width = patches.shape
        angles = math.radians(self.angle) * (2 * torch.rand(count).double() - 1)
        moves = self.distortion * (2 * torch.rand(count, 4, 2).double() - 1)
        grid = homography_grid(corner_homography(angles, moves), height, width)
        return F.grid_sample(
            patches,
            grid.to(patches),
            mode='bilinear',
            padding_mode='border',
            align_corners=False,
        )

    def extra_repr(self) -> str:
        """What torch shows of the transform."""
        return f'angle={self.angle}, distortion={self.distortion}'


# Corners of a square whose half side is 1, x to the right and y down.
_CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


def corner_homography(angles: Tensor, moves: Tensor) -> Tensor:
    """Homographies that rotate a square and then move its corners.

    Args:
        angles (Tensor): Clockwise rotations in the image, (B,) float64, radians.
        moves (Tensor): Moves of the corners top left, top right, bottom right, bottom
            left, (B, 4, 2) float64, x and y in half sides.

    Returns:
        Tensor: (B, 3, 3) float64. They map a point of the transformed square to the
        point of the original one that is seen there, in half sides from the centre.
    """
    corners = torch.tensor(_CORNERS, dtype=torch.float64)
    cos, sin = angles.cos(), angles.sin()
    rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    seen = corners @ rotation.transpose(1, 2) + moves
    # h of (x, y) -> (u, v): u (h7 x + h8 y + 1) = h1 x + h2 y + h3, likewise v.
    x, y = seen.unbind(dim=2)
    u, v = corners.expand_as(seen).unbind(dim=2)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    rows = [
        torch.stack([x, y, one, none, none, none, -u * x, -u * y], dim=2),
        torch.stack([none, none, none, x, y, one, -v * x, -v * y], dim=2),
    ]
    h = torch.linalg.solve(torch.cat(rows, dim=1), torch.cat([u, v], dim=1))
    return torch.cat([h, torch.ones_like(h[:, :1])], dim=1).view(-1, 3, 3)


def homography_grid(homographies: Tensor, height: int, width: int) -> Tensor:
    """Sampling positions for :func:`torch.nn.functional.grid_sample`.

    Args:
        homographies (Tensor): (B, 3, 3) of :func:`corner_homography`.
        height (int): Rows of the result.
        width (int): Columns of the result.

    Returns:
        Tensor: (B, height, width, 2), x and y, -1 and 1 at the borders of the image.
    """
    y = (2 * torch.arange(height, dtype=torch.float64) + 1) / height - 1
    x = (2 * torch.arange(width, dtype=torch.float64) + 1) / width - 1
    rows, cols = torch.meshgrid(y, x, indexing='ij')
    points = torch.stack([cols, rows, torch.ones_like(rows)], dim=2).view(-1, 3)
    seen = points @ homographies.transpose(1, 2)
    return (seen[..., :2] / seen[..., 2:]).view(-1, height, width, 2)
