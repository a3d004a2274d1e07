"""Detections of images, and checks of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TURNED = 'has x2 < x1 or y2 < y1'


@dataclass(frozen=True)
class Detections:
    """Detections of one image.

    Attributes:
        boxes (array): (D, 4) float32 or float64 xyxy boxes in pixels of the original
            image, in any order.
        scores (array): (D,) float32 or float64, raw scores in [0, 1].
        margins (array | None): (D,) float32 or float64 log-odds ``s = s_p - s_n``, None
            where they were not kept.
        patch_boxes (array | None): (P, 4) int64 xyxy squares of the patches pasted in
            this image, in pixels. None says that nothing was pasted since the image was
            not attacked; (0, 4) that it was attacked, but had no face to paste on.
    """

    boxes: NDArray[np.floating]
    scores: NDArray[np.floating]
    margins: NDArray[np.floating] | None = None
    patch_boxes: NDArray[np.int64] | None = None


def check_detections(source: str, detections: Detections) -> Detections:
    """Check the detections of one image and give their arrays one form.

    Args:
        source (str): What the detections came from (an image or a file), to begin
            messages with.
        detections (Detections): Their arrays may be of any real dtype, and of shape
            (0,) where (0, 4) is meant.

    Returns:
        Detections: boxes (D, 4), scores and margins (D,), each float32 or float64 as it
        was (float16 becomes float32, integers and longer floats float64), patch_boxes
        (P, 4) int64. Arrays that had this form are not copied.

    Raises:
        ValueError: If shapes or lengths do not fit, something is not a real
            number, boxes, scores or margins are NaN or infinite, a score lies
            outside [0, 1], a box has x2 < x1 or y2 < y1, or patch boxes are
            not whole pixels.
    """
    boxes = _four_columns(source, 'boxes', detections.boxes)
    boxes = _as_floating(source, 'boxes', boxes)
    refuse_first(source, 'boxes', boxes, boxes[:, 2:] < boxes[:, :2], _TURNED)
    scores = _one_for_each_box(source, 'scores', detections.scores, len(boxes))
    refuse_first(
        source, 'scores', scores, (scores < 0) | (scores > 1), 'lies outside [0, 1]'
    )
    margins, patches = detections.margins, detections.patch_boxes
    if margins is not None:
        margins = _one_for_each_box(source, 'margins', margins, len(boxes))
    if patches is not None:
        patches = _as_patch_boxes(source, patches)
    return Detections(boxes, scores, margins, patches)


def _as_array(source: str, name: str, values: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f'{source}: {name} are not an array: {error}') from error
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'{source}: {name} must be real numbers, not {array.dtype}')
    return array


def _four_columns(source: str, name: str, values: ArrayLike) -> NDArray[Any]:
    array = _as_array(source, name, values)
    if array.shape == (0,):
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f'{source}: {name} must be (N, 4), got shape {array.shape}')
    return array


def _as_floating(source: str, name: str, array: NDArray[Any]) -> NDArray[np.floating]:
    """Native float32 or float64, finite."""
    short = array.dtype.kind == 'f' and array.dtype.itemsize <= 4
    with np.errstate(over='ignore'):
        values: NDArray[Any] = array.astype(
            np.float32 if short else np.float64, copy=False
        )
    refuse_first(source, name, values, ~np.isfinite(values), 'is NaN or infinite')
    return values


def _one_for_each_box(
    source: str, name: str, values: ArrayLike, num_boxes: int
) -> NDArray[np.floating]:
    array = _as_array(source, name, values)
    if array.shape != (num_boxes,):
        raise ValueError(
            f'{source}: {name} must be ({num_boxes},), one for each box, got shape '
            f'{array.shape}'
        )
    return _as_floating(source, name, array)


def _as_patch_boxes(source: str, values: ArrayLike) -> NDArray[np.int64]:
    array = _four_columns(source, 'patch_boxes', values)
    with np.errstate(invalid='ignore'):
        pixels = array.astype(np.int64, copy=False)
    refuse_first(source, 'patch_boxes', array, pixels != array, 'is not whole pixels')
    refuse_first(source, 'patch_boxes', array, pixels[:, 2:] < pixels[:, :2], _TURNED)
    return pixels


def refuse_first(
    source: str, name: str, values: NDArray[Any], bad: NDArray[np.bool_], problem: str
) -> None:
    """Raise ValueError for the first entry (N, ...) of which something is bad."""
    if bad.any():
        index = first_row(bad)
        raise ValueError(f'{source}: {name}[{index}] = {values[index]} {problem}')


def first_row(bad: NDArray[np.bool_]) -> int:
    """Index of the first row in which something is bad; there must be one."""
    return int(np.argwhere(bad)[0, 0])


def all_have_margins(images: Iterable[tuple[str, bool]]) -> bool | None:
    """Whether detections have margins, given name and answer of each image with some.

    Returns:
        bool | None: None without detections.

    Raises:
        ValueError: If only some of them have.
    """
    example: dict[bool, str] = {}
    for img_id, has in images:
        example.setdefault(has, img_id)
    if len(example) == 2:
        raise ValueError(
            f'the detections of {example[True]} have margins, those of '
            f'{example[False]} have none; give margins to all or to none'
        )
    return next(iter(example), None)


def check_predictions(predictions: Mapping[str, Detections]) -> dict[str, Detections]:
    """Check predictions that are to be written, by :func:`check_detections`.

    Raises:
        ValueError: Also if there are none, or an img_id is no name.
    """
    if not predictions:
        raise ValueError('there are no predictions to write')
    for img_id in predictions:
        # numpy's strings end before trailing NULs.
        if not isinstance(img_id, str) or not img_id or '\0' in img_id:
            raise ValueError(f'img_id must be a non-empty str, got {img_id!r}')
    return {
        img_id: check_detections(img_id, detections)
        for img_id, detections in predictions.items()
    }
