"""Annotated faces, their attributes and subsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...utils.wider_annotation import ATTRIBUTE_VALUES as ATTRIBUTE_VALUES

#: The subsets of WIDER FACE that come with an official ``.mat`` file.
OFFICIAL_SUBSETS = ('easy', 'medium', 'hard')


@dataclass(frozen=True)
class ImageFaces:
    """The annotated faces of one image.

    Attributes:
        boxes (array): (G, 4) float64 xyxy in pixels of the original image, x2 = x + w
            and y2 = y + h; degenerate boxes are included.
        attributes (array | None): (G, 6) int64, columns in the order of
            :data:`ATTRIBUTE_VALUES`; None where there are none.
        keep (dict): Subset -> (G,) bool, the faces it keeps. A subset that is not named
            keeps all of them.
    """

    boxes: NDArray[np.float64]
    attributes: NDArray[np.int64] | None = None
    keep: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
