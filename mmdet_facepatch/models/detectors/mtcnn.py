"""MTCNN: a cascade of three small networks."""

from __future__ import annotations

import io
from typing import Any

import torch
from mmcv.ops import nms
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional

from .black_box import BlackBoxDetector, instances_of
from .mtcnn_networks import (
    CascadeNetwork,
    output_network,
    proposal_network,
    refinement_network,
)
from .packaged_weights import PackagedFile

# Side and stride of the windows in which P-Net looks for faces.
WINDOW, WINDOW_STRIDE = 12, 2
# Crops that a network sees at a time.
CHUNK = 512
# SHA-256 of the weights.
DIGESTS = dict(
    pnet='a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f',
    rnet='bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86',
    onet='165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d',
)


def pyramid_scales(
    height: int, width: int, min_face_size: float, factor: float
) -> list[float]:
    """Scales at which an image (pixels) still holds a window, the finest first.

    The first makes a face of ``min_face_size`` pixels a window; each is ``factor``
    times the one before.
    """
    scales: list[float] = []
    scale = WINDOW / min_face_size
    while min(height, width) * scale >= WINDOW:
        scales.append(scale)
        scale *= factor
    return scales


def read_windows(
    margins: Tensor, offsets: Tensor, scale: float, score_thr: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of P-Net's maps (h, w) and (4, h, w) whose score reaches a threshold.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Windows (N, 4) xyxy in whole pixels of the
        original image, scores (N,) and offsets (N, 4), row by row.
    """
    scores = margins.sigmoid()
    rows, columns = torch.nonzero(scores >= score_thr, as_tuple=True)
    corner = WINDOW_STRIDE * torch.stack([columns, rows], dim=1).to(scores)
    # CUDA multiplies by the reciprocal of a plain number, which floor() would show.
    divisor = corner.new_tensor(scale)
    windows = torch.cat([(corner + 1) / divisor, (corner + WINDOW) / divisor], dim=1)
    return windows.floor(), scores[rows, columns], offsets[:, rows, columns].T


def refine(boxes: Tensor, offsets: Tensor, extra: float = 1.0) -> Tensor:
    """Move the corners of boxes (N, 4) by offsets in sides of the box.

    ``extra`` is added to the sides; 1 where the last pixel belongs to a box.
    """
    sides = boxes[:, 2:] - boxes[:, :2] + extra
    return boxes + offsets * sides.repeat(1, 2)


def to_squares(boxes: Tensor) -> Tensor:
    """Squares about the centres of boxes (N, 4), with the longer side."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.amax(dim=1, keepdim=True)
    start = boxes[:, :2] + sides / 2 - longer / 2
    return torch.cat([start, start + longer], dim=1)


def crop_bounds(boxes: Tensor, height: int, width: int) -> Tensor:
    """Pixels of an image that boxes (N, 4) cover; these count from 1, ends included.

    Returns:
        Tensor: (N, 4) int64 x1, y1, x2, y2, from 0, ends excluded; of a box outside the
        image x2 <= x1 or y2 <= y1.
    """
    whole = boxes.trunc().long()
    start = whole[:, :2].clamp(min=1) - 1
    end = torch.minimum(whole[:, 2:], whole.new_tensor([width, height]))
    return torch.cat([start, end], dim=1)


def suppress_within(boxes: Tensor, scores: Tensor, overlap_thr: float) -> Tensor:
    """NMS by the intersection over the smaller one of two areas, ends included.

    Returns:
        Tensor: Indices of what stays, by descending score.
    """
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(dim=1)
    waiting = scores.argsort(descending=True, stable=True)
    kept = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        common = (
            torch.minimum(boxes[best, 2:], boxes[waiting, 2:])
            - torch.maximum(boxes[best, :2], boxes[waiting, :2])
            + 1
        ).clamp(min=0)
        overlap = common.prod(dim=1) / torch.minimum(areas[best], areas[waiting])
        waiting = waiting[overlap <= overlap_thr]
    return torch.stack(kept) if kept else scores.new_zeros(0, dtype=torch.long)


def normalise(pixels: Tensor) -> Tensor:
    """From [0, 255] to [-1, 1]."""
    return (pixels - 127.5) / 128


def _load(network: CascadeNetwork, source: PackagedFile) -> CascadeNetwork:
    """Fill a network with the packaged weights; nothing in them is executed."""
    content = torch.load(
        io.BytesIO(source.read()), map_location='cpu', weights_only=True
    )
    # O-Net's landmarks, which nobody asks for.
    state = {
        name: value
        for name, value in content.items()
        if not name.startswith('dense6_3.')
    }
    network.load_state_dict(state, strict=True)
    return network


@MODELS.register_module()
class MTCNN(BlackBoxDetector):
    """MTCNN (Zhang et al. 2016), trained on WIDER FACE and CelebA.

    P-Net looks through an image pyramid for windows, R-Net and O-Net judge and
    refine what the stage before leaves. Weights, and every step between the
    networks, are those of the package ``facenet-pytorch``. They want RGB in
    [0, 255].

    Detections carry ``margins``, the log-odds of O-Net. A face that P-Net or R-Net
    drops is lost, however low ``score_thr`` is.

    Args:
        test_cfg (dict): ``min_face_size`` (20 in the package), ``factor`` between
            scales (0.709), ``stage_thr`` of P-Net and R-Net (0.6 and 0.7),
            ``score_thr`` of O-Net (0.7 in the package; low here, for whole curves),
            ``stage_nms`` (IoU of windows of one scale, of all scales, of R-Net's boxes:
            0.5, 0.7, 0.7) and ``nms`` (0.7, share of the smaller box).
        **kwargs (Any): As in :class:`BlackBoxDetector`.

    Raises:
        ImportError: If the package with the weights is not installed.
        ValueError: If it has other weights than expected.
    """

    sources = tuple(
        PackagedFile(
            'facenet-pytorch', '2.6.0', f'facenet_pytorch/data/{name}.pt', sha256
        )
        for name, sha256 in DIGESTS.items()
    )

    def __init__(self, test_cfg: dict, **kwargs: Any) -> None:
        super().__init__(test_cfg, **kwargs)
        networks = (proposal_network(), refinement_network(), output_network())
        self.pnet, self.rnet, self.onet = (
            _load(network, source)
            for network, source in zip(networks, self.sources, strict=True)
        )

    @torch.no_grad()
    def detect(self, image: Tensor) -> InstanceData:
        """Faces in an RGB image; see :meth:`BlackBoxDetector.detect`."""
        cfg = self.test_cfg
        image = image.to(next(self.parameters()))
        boxes, scores, offsets = self._propose(image)
        boxes = to_squares(refine(boxes, offsets, extra=0))

        boxes, margins, offsets = self._judge(
            image, boxes, self.rnet, 24, cfg.stage_thr[1]
        )
        keep = _suppress(boxes, margins.sigmoid(), cfg.stage_nms[2])
        boxes = to_squares(refine(boxes[keep], offsets[keep]))

        boxes, margins, offsets = self._judge(
            image, boxes, self.onet, 48, cfg.score_thr
        )
        boxes = refine(boxes, offsets)
        keep = suppress_within(boxes, margins, cfg.nms)
        boxes, margins = boxes[keep].cpu(), margins[keep].cpu()
        return instances_of(boxes, margins.sigmoid(), margins=margins)

    def _propose(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """P-Net's windows on all scales: boxes, scores and offsets."""
        cfg = self.test_cfg
        height, width = image.shape[1:]
        found = [(image.new_zeros(0, 4), image.new_zeros(0), image.new_zeros(0, 4))]
        for scale in pyramid_scales(height, width, cfg.min_face_size, cfg.factor):
            size = (int(height * scale + 1), int(width * scale + 1))
            level = functional.interpolate(image[None], size=size, mode='area')
            margins, offsets = self.pnet(normalise(level))
            windows = read_windows(margins[0], offsets[0], scale, cfg.stage_thr[0])
            keep = _suppress(windows[0], windows[1], cfg.stage_nms[0])
            found.append((windows[0][keep], windows[1][keep], windows[2][keep]))
        boxes, scores, offsets = (torch.cat(parts) for parts in zip(*found))
        keep = _suppress(boxes, scores, cfg.stage_nms[1])
        return boxes[keep], scores[keep], offsets[keep]

    @staticmethod
    def _judge(
        image: Tensor,
        boxes: Tensor,
        network: CascadeNetwork,
        side: int,
        score_thr: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What a network leaves of boxes: these, log-odds and offsets."""
        bounds = crop_bounds(boxes, *image.shape[1:])
        inside = (bounds[:, 2:] > bounds[:, :2]).all(dim=1)
        boxes, bounds = boxes[inside], bounds[inside]
        crops = [
            functional.interpolate(
                image[None, :, y1:y2, x1:x2], size=(side, side), mode='area'
            )
            for x1, y1, x2, y2 in bounds.tolist()
        ]
        parts = [
            network(normalise(torch.cat(crops[start : start + CHUNK])))
            for start in range(0, len(crops), CHUNK)
        ]
        margins = torch.cat([image.new_zeros(0), *(part[0] for part in parts)])
        offsets = torch.cat([image.new_zeros(0, 4), *(part[1] for part in parts)])
        # As the package compares; P-Net's windows may be equal.
        keep = margins.sigmoid() > score_thr
        return boxes[keep], margins[keep], offsets[keep]


def _suppress(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices of what NMS leaves, by descending score."""
    if len(boxes) == 0:
        return scores.new_zeros(0, dtype=torch.long)
    return nms(boxes, scores, iou_threshold)[1]
