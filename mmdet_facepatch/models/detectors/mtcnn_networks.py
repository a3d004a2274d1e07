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
        trunk: Layers by name, in their order.
        scores: Name of the layer after them that tells faces, and the layer; two
            channels, the second one for faces.
        boxes: Likewise of the layer that refines the box; four channels.
    """

    def __init__(self, trunk: Mapping[str, nn.Module], scores: tuple[str, nn.Module],
                 boxes: tuple[str, nn.Module]) -> None:
        super().__init__()
        self.trunk = tuple(trunk)
        self.heads = (scores[0], boxes[0])
        for name, layer in [*trunk.items(), scores, boxes]:
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds of faces and offsets of boxes.

        Args:
            images: (N, 3, H, W) float, RGB, ``(value - 127.5) / 128``.

        Returns:
            (N, ...) and (N, 4, ...) float, with the positions of a convolution
            behind, where the network is one.
        """
        features = images
        for name in self.trunk:
            features = self.get_submodule(name)(features)
        logits, offsets = (self.get_submodule(name)(features) for name in self.heads)
        return logits[:, 1] - logits[:, 0], offsets


def _pool(kernel: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel, 2, ceil_mode=True)


def proposal_network() -> CascadeNetwork:
    """P-Net: fully convolutional, windows of 12 pixels on a stride of 2."""
    return CascadeNetwork(
        dict(conv1=nn.Conv2d(3, 10, 3), prelu1=nn.PReLU(10), pool1=_pool(2),
             conv2=nn.Conv2d(10, 16, 3), prelu2=nn.PReLU(16),
             conv3=nn.Conv2d(16, 32, 3), prelu3=nn.PReLU(32)),
        ('conv4_1', nn.Conv2d(32, 2, 1)), ('conv4_2', nn.Conv2d(32, 4, 1)))


def refinement_network() -> CascadeNetwork:
    """R-Net, for crops of 24 x 24 pixels."""
    return CascadeNetwork(
        dict(conv1=nn.Conv2d(3, 28, 3), prelu1=nn.PReLU(28), pool1=_pool(3),
             conv2=nn.Conv2d(28, 48, 3), prelu2=nn.PReLU(48), pool2=_pool(3),
             conv3=nn.Conv2d(48, 64, 2), prelu3=nn.PReLU(64),
             flatten=ColumnsFirst(),
             dense4=nn.Linear(576, 128), prelu4=nn.PReLU(128)),
        ('dense5_1', nn.Linear(128, 2)), ('dense5_2', nn.Linear(128, 4)))


def output_network() -> CascadeNetwork:
    """O-Net, for crops of 48 x 48 pixels; without its landmarks."""
    return CascadeNetwork(
        dict(conv1=nn.Conv2d(3, 32, 3), prelu1=nn.PReLU(32), pool1=_pool(3),
             conv2=nn.Conv2d(32, 64, 3), prelu2=nn.PReLU(64), pool2=_pool(3),
             conv3=nn.Conv2d(64, 64, 3), prelu3=nn.PReLU(64), pool3=_pool(2),
             conv4=nn.Conv2d(64, 128, 2), prelu4=nn.PReLU(128),
             flatten=ColumnsFirst(),
             dense5=nn.Linear(1152, 256), prelu5=nn.PReLU(256)),
        ('dense6_1', nn.Linear(256, 2)), ('dense6_2', nn.Linear(256, 4)))
