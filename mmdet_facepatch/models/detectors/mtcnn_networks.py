"""The three networks of MTCNN."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class ColumnsFirst(nn.Module):
    """Flatten (N, C, H, W) to (N, W * H * C), as the weights expect it."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, W * H * C)."""
        return maps.permute(0, 3, 2, 1).flatten(1)


class CascadeNetwork(nn.Module):
    """A chain of layers with two outputs: face or not, and the box.

    Layers are named as in the files with the weights.

    Args:
        trunk (Mapping[str, nn.Module]): Layers by name, in their order.
        scores (tuple[str, nn.Module]): Name of the layer after them that tells faces,
            and the layer; two channels, the second one for faces.
        boxes (tuple[str, nn.Module]): Likewise of the layer that refines the box; four
            channels.
    """

    def __init__(
        self,
        trunk: Mapping[str, nn.Module],
        scores: tuple[str, nn.Module],
        boxes: tuple[str, nn.Module],
    ) -> None:
        super().__init__()
        self.trunk = tuple(trunk)
        self.heads = (scores[0], boxes[0])
        for name, layer in [*trunk.items(), scores, boxes]:
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds of faces (N, ...) and offsets of boxes (N, 4, ...).

        For images (N, 3, H, W) RGB, ``(value - 127.5) / 128``; with the positions of a
        convolution behind, where the network is one.
        """
        features = images
        for name in self.trunk:
            features = self.get_submodule(name)(features)
        logits, offsets = (self.get_submodule(name)(features) for name in self.heads)
        return logits[:, 1] - logits[:, 0], offsets


def _convolutions(*layers: tuple[int, int, int, int]) -> dict[str, nn.Module]:
    """Convolutions with (channels in, out, kernel, kernel of the pooling or 0)."""
    trunk: dict[str, nn.Module] = {}
    for number, (before, after, kernel, pool) in enumerate(layers, 1):
        trunk[f'conv{number}'] = nn.Conv2d(before, after, kernel)
        trunk[f'prelu{number}'] = nn.PReLU(after)
        if pool:
            trunk[f'pool{number}'] = nn.MaxPool2d(pool, 2, ceil_mode=True)
    return trunk


def proposal_network() -> CascadeNetwork:
    """P-Net: fully convolutional, windows of 12 pixels on a stride of 2."""
    return CascadeNetwork(
        _convolutions((3, 10, 3, 2), (10, 16, 3, 0), (16, 32, 3, 0)),
        ('conv4_1', nn.Conv2d(32, 2, 1)),
        ('conv4_2', nn.Conv2d(32, 4, 1)),
    )


def refinement_network() -> CascadeNetwork:
    """R-Net, for crops of 24 x 24 pixels."""
    trunk = _convolutions((3, 28, 3, 3), (28, 48, 3, 3), (48, 64, 2, 0))
    trunk |= dict(
        flatten=ColumnsFirst(), dense4=nn.Linear(576, 128), prelu4=nn.PReLU(128)
    )
    return CascadeNetwork(
        trunk, ('dense5_1', nn.Linear(128, 2)), ('dense5_2', nn.Linear(128, 4))
    )


def output_network() -> CascadeNetwork:
    """O-Net, for crops of 48 x 48 pixels; without its landmarks."""
    trunk = _convolutions(
        (3, 32, 3, 3), (32, 64, 3, 3), (64, 64, 3, 2), (64, 128, 2, 0)
    )
    trunk |= dict(
        flatten=ColumnsFirst(), dense5=nn.Linear(1152, 256), prelu5=nn.PReLU(256)
    )
    return CascadeNetwork(
        trunk, ('dense6_1', nn.Linear(256, 2)), ('dense6_2', nn.Linear(256, 4))
    )
