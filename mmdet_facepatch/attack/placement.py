"""Where the patch sits on the face: integer squares from face boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures import DetDataSample
from torch import Tensor

# Height of the centre below the top edge of the face, as weights of the three
# locations of the paper (Section 4.4, Table 6): top, middle, bottom.
_LOCATIONS: dict[str, tuple[float, float, float]] = {
    'top': (1.0, 0.0, 0.0),
    'top_middle': (0.5, 0.5, 0.0),
    'middle': (0.0, 1.0, 0.0),
    'middle_bottom': (0.0, 0.5, 0.5),
    'bottom': (0.0, 0.0, 1.0),
}

# Pixel coordinates beyond this are not images; it also keeps sizes in 32 bits.
COORDINATE_LIMIT = 2**30

Center = str | Sequence[float]


def check_alpha(alpha: float) -> float:
    """Return alpha if it lies in (0, 1], else raise ValueError."""
    if not 0.0 < alpha <= 1.0:
        raise ValueError(
            f'alpha {alpha} is outside (0, 1]: it is the patch side divided by '
            'sqrt(face width * face height), 0.5 in the paper'
        )
    return float(alpha)


def check_center(center: Center) -> Center:
    """Return center if it is a known location or a finite pair, else raise."""
    if isinstance(center, str):
        if center not in _LOCATIONS:
            raise ValueError(
                f'unknown patch center {center!r}; known: {", ".join(_LOCATIONS)}, or '
                '(cx, cy) in fractions of the face width and height'
            )
        return center
    pair = tuple(float(v) for v in center) if isinstance(center, Sequence) else ()
    if len(pair) != 2 or not all(abs(v) < COORDINATE_LIMIT for v in pair):
        raise ValueError(
            f'patch center {center!r} must be a name ({", ".join(_LOCATIONS)}) or two '
            'finite numbers (cx, cy) in fractions of the face width and height'
        )
    return pair


def check_scale(scale: float) -> float:
    """Return scale if it lies in (0, 1], else raise ValueError."""
    if not 0.0 < scale <= 1.0:
        raise ValueError(
            f'patch scale {scale} is outside (0, 1]: it is the side of the shrunken '
            'patch divided by that of the whole one, 0.9 to 0.6 in the paper'
        )
    return float(scale)


def patch_boxes(
    face_boxes: Tensor,
    alpha: float = 0.5,
    center: Center = 'top',
    scale: float = 1.0,
) -> Tensor:
    """Square of the patch for each face (paper, Section 3.2).

    The side is ``max(1, round(scale * alpha * sqrt(w * h)))`` (halves to even); the
    left edge is ``floor(cx - side / 2 + 0.5)``, the top edge likewise. With
    ``s = alpha * sqrt(w * h)`` before rounding, the centre relative to the face's
    upper left corner is

    * ``'top'``: ``(w / 2, s / 2)``;
    * ``'middle'``: ``(w / 2, h / 2)``;
    * ``'bottom'``: ``(w / 2, h - s / 2)``;
    * ``'top_middle'``, ``'middle_bottom'``: the mean of the two neighbours;
    * ``(cx, cy)``: ``(cx * w, cy * h)``.

    ``scale`` shrinks a patch after it was optimised (Appendix B, Table 5; the paper
    does not say about which point): the side, not the area, becomes the given
    share, and the centre stays where it was at full size. A patch at the top then
    no longer touches the top edge of the face.

    Squares may stick out of the face and of the image; the compositor cuts them
    at the image border. All arithmetic is float64, so that every device gives
    the same pixels.

    Args:
        face_boxes (Tensor): Faces, (N, 4) xyxy in pixels, any real dtype, any device.
        alpha (float): Patch side relative to ``sqrt(w * h)``, in (0, 1]. Defaults to
            0.5.
        center (Center): Name of a location or (cx, cy) in fractions of w and h.
            Defaults to 'top'.
        scale (float): Side relative to that at full size, in (0, 1]. Defaults to 1.0.

    Returns:
        Tensor: (N, 4) int64 xyxy on the device of ``face_boxes``; the upper bounds are
        exclusive. A face with w <= 0 or h <= 0 gets an empty box (x1 == x2, y1 == y2):
        no patch.

    Raises:
        ValueError: If alpha, center or scale is unfit, the shape is not (N, 4), or
            a coordinate is NaN, infinite or beyond 2**30.
    """
    alpha, center, scale = check_alpha(alpha), check_center(center), check_scale(scale)
    if face_boxes.ndim != 2 or face_boxes.shape[1] != 4:
        raise ValueError(
            f'face boxes must have shape (N, 4), got {tuple(face_boxes.shape)}'
        )
    faces = face_boxes.detach().double()
    unfit = ~(faces.abs() < COORDINATE_LIMIT).all(dim=1)
    if unfit.any():
        row = int(unfit.nonzero()[0, 0])
        raise ValueError(
            f'face box {row} is {faces[row].tolist()}: coordinates must be finite '
            f'pixels of magnitude below {COORDINATE_LIMIT}'
        )

    corner = faces[:, :2]
    width, height = (faces[:, 2:] - corner).unbind(dim=1)
    exact = alpha * (width.clamp(min=0) * height.clamp(min=0)).sqrt()
    side = (scale * exact).round().clamp(min=1)
    if isinstance(center, str):
        top, middle, bottom = _LOCATIONS[center]
        down = top * exact / 2 + middle * height / 2 + bottom * (height - exact / 2)
        offset = torch.stack([width / 2, down], dim=1)
    else:
        offset = torch.stack([center[0] * width, center[1] * height], dim=1)
    side = side * ((width > 0) & (height > 0))
    start = (corner + offset - side[:, None] / 2 + 0.5).floor()
    return torch.cat([start, start + side[:, None]], dim=1).long()


@TASK_UTILS.register_module()
class PatchPlacement:
    """Place a square patch on each face; see :func:`patch_boxes`.

    Args:
        alpha (float): Patch side relative to ``sqrt(w * h)`` of the face, in (0, 1].
            Defaults to 0.5.
        center (Center): 'top' (default), 'top_middle', 'middle', 'middle_bottom',
            'bottom', or (cx, cy) in fractions of the face width and height.

    Raises:
        ValueError: If alpha or center is unfit.
    """

    def __init__(self, alpha: float = 0.5, center: Center = 'top') -> None:
        self.alpha = check_alpha(alpha)
        self.center = check_center(center)

    def __call__(self, face_boxes: Tensor, scale: float = 1.0) -> Tensor:
        """Return the (N, 4) int64 xyxy squares for (N, 4) xyxy faces.

        Args:
            face_boxes (Tensor): Faces, (N, 4) xyxy in pixels.
            scale (float): Side relative to that at full size, in (0, 1]. Defaults to
                1.0.
        """
        return patch_boxes(face_boxes, self.alpha, self.center, scale)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(alpha={self.alpha}, center={self.center!r})'


def all_faces(sample: DetDataSample, labels: Sequence[int] | None = None) -> Tensor:
    """Every annotated face of an image, ignored ones too: all get a patch.

    Args:
        sample (DetDataSample): With ``gt_instances`` and optionally
            ``ignored_instances``.
        labels (Sequence[int], optional): Of the target classes; None takes all boxes.
            Defaults to None.

    Returns:
        Tensor: (G, 4) float xyxy, pixels; those of ``gt_instances`` first. Boxes
        without area are left out.
    """
    parts = [sample.gt_instances]
    if 'ignored_instances' in sample and 'bboxes' in sample.ignored_instances:
        parts.append(sample.ignored_instances)
    if labels is not None:
        parts = [
            part[torch.isin(part.labels, part.labels.new_tensor(labels))]
            for part in parts
        ]
    faces = torch.cat([getattr(part.bboxes, 'tensor', part.bboxes) for part in parts])
    wh = faces[:, 2:] - faces[:, :2]
    return faces[(wh > 0).all(dim=1)]
