"""Black boxes whose network is an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .black_box import BlackBoxDetector
from .packaged_weights import PackagedFile


class OnnxBlackBox(BlackBoxDetector):
    """A detector whose network is an ONNX file, run by OpenCV on the CPU.

    The file's bytes are a buffer, so that the digest of the detector covers them.

    Arguments are those of :class:`BlackBoxDetector`.

    Raises:
        ImportError: If the package with the file is not installed.
        ValueError: If it has another file than expected.
    """

    #: Where the network is.
    source: ClassVar[PackagedFile]
    #: Height and width of what the network sees are multiples of this.
    divisor: ClassVar[int] = 32

    onnx: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        content = torch.frombuffer(bytearray(self.source.read()), dtype=torch.uint8)
        # Not part of checkpoints: no other network may take its place.
        self.register_buffer('onnx', content, persistent=False)
        # torch runs no module without parameters on several processes.
        self.no_weights = nn.Parameter(torch.zeros(0))
        self._network: Any = None
        self._shape: tuple[int, ...] = ()

    def run_network(self, image: Tensor, names: Sequence[str]) -> list[Tensor]:
        """The named outputs, float32, for an image (3, H, W) padded with zeros."""
        below, right = (-size % self.divisor for size in image.shape[1:])
        padded = functional.pad(image, (0, right, 0, below))[None].float()
        if self._shape != tuple(padded.shape):
            # OpenCV 4.10 computes nonsense where a network gets images of another
            # size than before (CenterFace: heat map off by up to 1), without a word.
            self._network = cv2.dnn.readNetFromONNX(self.onnx.cpu().numpy())
            self._shape = tuple(padded.shape)
        self._network.setInput(np.ascontiguousarray(padded.numpy()))
        # Copied: OpenCV uses its memory again in the next pass.
        return [
            torch.from_numpy(np.array(output, dtype=np.float32))
            for output in self._network.forward(list(names))
        ]
