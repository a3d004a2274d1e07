"""MobileNetV2 without the layers that no neck reads."""

from __future__ import annotations

from typing import Any

from mmdet.models.backbones import MobileNetV2
from mmdet.registry import MODELS


@MODELS.register_module()
class HeadlessMobileNetV2(MobileNetV2):
    """MobileNetV2 cut after the last stage that is returned.

    mmdet's class always builds and runs all eight stages. What lies behind
    ``max(out_indices)`` costs time and memory, and under distributed training
    its parameters never get a gradient, which stops the run.
    Arguments are those of :class:`mmdet.models.backbones.MobileNetV2`.
    """

    # Names of the stages, in the order in which they run.
    layers: list[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        last = max(self.out_indices)
        for name in self.layers[last + 1 :]:
            delattr(self, name)
        self.layers = self.layers[: last + 1]

    def train(self, mode: bool = True) -> HeadlessMobileNetV2:
        """Set the mode; mmdet's method returns None, so ``eval()`` would too."""
        super().train(mode)
        return self
