"""Pictures of what a detector finds, as in the paper's Figure 1.

True positives are solid blue, false positives solid red, missed faces dashed
blue. All functions are pure: they return new images and draw on none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from ..evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE
from ..files import write_atomically

Colour = tuple[int, int, int]

# RGB. Bright, so that they stand out on photographs, and apart in luminance,
# so that they can be told in grey print.
BLUE: Colour = (0, 96, 255)
RED: Colour = (255, 32, 24)

_INK: Colour = (32, 32, 32)
_PAPER: Colour = (255, 255, 255)
_LEAST_FONT = 6
_LEGEND = (
    ('true positive', BLUE, False),
    ('false positive', RED, False),
    ('missed face', BLUE, True),
)


def draw_outcomes(
    image: NDArray[np.uint8],
    det_boxes: ArrayLike,
    det_status: ArrayLike,
    gt_boxes: ArrayLike,
    gt_found: ArrayLike,
    channel_order: str = 'bgr',
    line_width: int | None = None,
    scale: float = 1.0,
) -> NDArray[np.uint8]:
    """Draw true positives, false positives and missed faces.

    The arguments are what
    :func:`~mmdet_facepatch.evaluation.match_detections` returns;
    detections below the threshold of interest have to be left out before
    matching. Ignored detections (status -1) are not drawn. Missed faces come
    first and false positives last, so that what is wrong is never hidden.

    Args:
        image (array): (H, W, 3) uint8.
        det_boxes (array): (D, 4) xyxy boxes in pixels of ``image``.
        det_status (array): (D,) 1 true positive, 0 false positive, -1 ignored.
        gt_boxes (array): (G, 4) xyxy boxes of the faces.
        gt_found (array): (G,) bool, faces with a true positive.
        channel_order (str): 'bgr' (as mmcv reads) or 'rgb'.
        line_width (int, optional): In pixels of the result; by default 1 for
            each 400 pixels of its longer side, at least 2. Boxes too small for
            it get thinner lines; on the others the lines have a white rim.
        scale (float): The image is resized by this before the lines are drawn,
            so that they stay crisp on small images.

    Returns:
        array: (round(scale * H), round(scale * W), 3) uint8, in the order of
        channels of ``image``.

    Raises:
        ValueError: If the image is not (H, W, 3) uint8, or there is not one
            status for each box.
    """
    _check_image(image)
    dets, gts = _scaled_boxes(det_boxes, scale), _scaled_boxes(gt_boxes, scale)
    status = np.asarray(det_status).reshape(-1)
    found = np.asarray(gt_found, dtype=bool).reshape(-1)
    if len(status) != len(dets) or len(found) != len(gts):
        raise ValueError(
            f'{len(status)} statuses for {len(dets)} detections and {len(found)} '
            f'for {len(gts)} faces; each box needs one'
        )
    canvas = _resized(image, scale)
    if line_width is None:
        line_width = max(2, round(max(canvas.shape[:2]) / 400))
    blue = _in_order(BLUE, channel_order)
    red = _in_order(RED, channel_order)
    _draw_boxes(canvas, gts[~found], blue, line_width, dashed=True)
    _draw_boxes(canvas, dets[status == TRUE_POSITIVE], blue, line_width)
    _draw_boxes(canvas, dets[status == FALSE_POSITIVE], red, line_width)
    return canvas


def describe_outcomes(det_status: ArrayLike, gt_found: ArrayLike) -> str:
    """Counts for a caption.

    Args:
        det_status (array): (D,) 1 true positive, 0 false positive, -1 ignored.
        gt_found (array): (G,) bool, faces with a true positive.

    Returns:
        str: Such as ``'12 of 15 faces found, 2 false positives'``.
    """
    found = np.asarray(gt_found, dtype=bool).reshape(-1)
    false = int(np.sum(np.asarray(det_status).reshape(-1) == FALSE_POSITIVE))
    return (
        f'{int(found.sum())} of {len(found)} {_plural("face", len(found))} found, '
        f'{false} {_plural("false positive", false)}'
    )


def side_by_side(
    images: Sequence[NDArray[np.uint8]],
    titles: Sequence[str],
    channel_order: str = 'bgr',
    legend: bool = True,
) -> NDArray[np.uint8]:
    """Put panels such as clean and attacked beside each other.

    The panels are brought to the height of the tallest. Each has its title in
    a bar above; a legend of the line styles stands below.

    Args:
        images (list[array]): (H, W, 3) uint8 panels.
        titles (list[str]): One for each panel; '' leaves the bar empty.
        channel_order (str): 'bgr' or 'rgb', of panels and result.
        legend (bool): Whether to draw the legend.

    Returns:
        array: (H', W', 3) uint8.

    Raises:
        ValueError: If there is no panel, or not one title for each.
    """
    if not images or len(images) != len(titles):
        raise ValueError(
            f'{len(images)} images and {len(titles)} titles; give at least one '
            'image, and one title for each'
        )
    for image in images:
        _check_image(image)
    height = max(image.shape[0] for image in images)
    panels = [_resized(image, height / image.shape[0]) for image in images]
    widths = [panel.shape[1] for panel in panels]
    gap = max(4, height // 60)
    total = sum(widths) + gap * (len(panels) + 1)
    size = int(np.clip(min(height / 22, total / 40), 10, 48))
    bar = 2 * size
    bottom = bar if legend else gap
    page = Image.new('RGB', (total, bar + height + bottom), _PAPER)
    text_size = _fitting_size(titles, widths, size)
    left = gap
    for panel, title, width in zip(panels, titles, widths, strict=True):
        page.paste(Image.fromarray(_swapped(panel, channel_order)), (left, bar))
        _write_centred(page, title, (left, 0, left + width, bar), text_size)
        left += width + gap
    if legend:
        _draw_legend(page, (gap, bar + height, total - gap, page.height), size)
    return _swapped(np.array(page), channel_order)


def save_png(
    path: str | os.PathLike[str],
    image: NDArray[np.uint8],
    channel_order: str = 'bgr',
) -> None:
    """Write a PNG, all or nothing.

    Args:
        path (str | Path): File to write; its folder must exist.
        image (array): (H, W, 3) uint8.
        channel_order (str): 'bgr' or 'rgb', the order in ``image``.
    """
    _check_image(image)
    picture = Image.fromarray(_swapped(image, channel_order))
    write_atomically(path, lambda file: picture.save(file, format='PNG'))


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f'{noun}s'


def _check_image(image: NDArray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'expected an image of shape (H, W, 3) and type uint8, got '
            f'{image.shape} and {image.dtype}'
        )
    if 0 in image.shape:
        raise ValueError(f'the image has no pixels: its shape is {image.shape}')


def _in_order(colour: Colour, channel_order: str) -> Colour:
    if channel_order not in ('bgr', 'rgb'):
        raise ValueError(f"channel_order must be 'bgr' or 'rgb', got {channel_order!r}")
    return colour if channel_order == 'rgb' else (colour[2], colour[1], colour[0])


def _swapped(image: NDArray[np.uint8], channel_order: str) -> NDArray[np.uint8]:
    """Between the given order and RGB, contiguous."""
    order = _in_order((0, 1, 2), channel_order)
    return np.ascontiguousarray(image[..., list(order)])


def _resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """A resized copy."""
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image.copy(order='C')
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=method)


def _scaled_boxes(boxes: ArrayLike, scale: float) -> NDArray[np.float64]:
    array = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * scale
    if not np.isfinite(array).all():
        raise ValueError('a box to draw is NaN or infinite')
    return array


def _draw_boxes(
    canvas: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    colour: Colour,
    line_width: int,
    dashed: bool = False,
) -> None:
    height, width = canvas.shape[:2]
    # Far ends are drawn just outside the picture: OpenCV's coordinates are
    # limited, a detector's are not.
    limit = np.array([width, height, width, height]) + 2 * line_width
    corners = np.clip(np.round(boxes), -2 * line_width, limit).astype(int)
    for x1, y1, x2, y2 in corners.tolist():
        room = min(abs(x2 - x1), abs(y2 - y1)) // 6
        thickness = max(1, min(line_width, room))
        lines = list(_lines((x1, y1), (x2, y2), thickness if dashed else 0))
        # A rim, for blue on a blue coat; it would hide a face of a few pixels.
        if room > line_width:
            for start, end in lines:
                cv2.line(canvas, start, end, _PAPER, thickness + 2)
        for start, end in lines:
            cv2.line(canvas, start, end, colour, thickness)


Point = tuple[int, int]


def _lines(low: Point, high: Point, dash: int) -> Iterable[tuple[Point, Point]]:
    """The four sides of a box, whole (dash 0) or in dashes for that thickness."""
    (x1, y1), (x2, y2) = low, high
    for begin, end in _parts(x1, x2, dash):
        yield (begin, y1), (end, y1)
        yield (begin, y2), (end, y2)
    for begin, end in _parts(y1, y2, dash):
        yield (x1, begin), (x1, end)
        yield (x2, begin), (x2, end)


def _parts(start: int, stop: int, dash: int) -> Iterable[Point]:
    """An odd number of equal parts, every other one drawn: corners are closed."""
    wished = max(3, 5 * dash)
    parts = max(3, 2 * round(abs(stop - start) / wished / 2) + 1) if dash else 1
    ends = np.linspace(start, stop, parts + 1)
    for begin, end in zip(ends[:-1:2], ends[1::2], strict=True):
        yield round(begin), round(end)


def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib carries this font in its package, so that pictures do not
    # depend on the fonts of a machine.
    folder = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf'
    return ImageFont.truetype(str(folder / 'DejaVuSans.ttf'), size)


def _fitting_size(texts: Sequence[str], widths: Sequence[int], size: int) -> int:
    """Largest font size, up to the one given, at which each text fits."""
    while size > _LEAST_FONT and any(
        _font(size).getlength(text) > width
        for text, width in zip(texts, widths, strict=True)
    ):
        size -= 1
    return size


def _write_centred(
    page: Image.Image, text: str, area: tuple[int, int, int, int], size: int
) -> None:
    left, top, right, bottom = area
    centre = ((left + right) / 2, (top + bottom) / 2)
    draw = ImageDraw.Draw(page)
    draw.text(centre, text, fill=_INK, font=_font(size), anchor='mm')


def _draw_legend(page: Image.Image, area: tuple[int, int, int, int], size: int) -> None:
    """Line samples with their meaning, centred in the area."""
    left, top, right, bottom = area
    gap, sample = 0.5, 2.0  # in units of the font size
    while True:
        font = _font(size)
        lengths = [
            font.getlength(text) + (sample + 3 * gap) * size for text, *_ in _LEGEND
        ]
        if size <= _LEAST_FONT or sum(lengths) <= right - left:
            break
        size -= 1
    draw = ImageDraw.Draw(page)
    x, y = (left + right - sum(lengths)) / 2, (top + bottom) / 2
    width = max(2, size // 7)
    for (text, colour, dashed), length in zip(_LEGEND, lengths, strict=True):
        ends = np.linspace(x, x + sample * size, 6 if dashed else 2)
        for begin, end in zip(ends[:-1:2], ends[1::2], strict=True):
            draw.line((begin, y, end, y), fill=colour, width=width)
        begin = x + (sample + gap) * size
        draw.text((begin, y), text, fill=_INK, font=font, anchor='lm')
        x += length
