"""Parts of a patch that are removed after it was optimised.

The paper removes a half or a third of a patch and tests what the rest still does
(Appendix A, Table 4). Its rows name the part that is removed, and so do these, seen
in the image::

    top_half     bottom_half    left_half    right_half        # pasted
     . . . .       # # # #       . . # #      # # . .          . the image shows
     . . . .       # # # #       . . # #      # # . .
     # # # #       . . . .       . . # #      # # . .
     # # # #       . . . .       . . # #      # # . .

    top_third   bottom_third    left_third   right_third
     . . .         # # #          . # #        # # .
     # # #         # # #          . # #        # # .
     # # #         . . .          . # #        # # .
"""

from __future__ import annotations

import torch
from torch import Tensor

# Which bound of an xyxy box moves inwards, and by which unit fraction of the side.
_PARTS: dict[str, tuple[int, int]] = {
    f'{edge}_{name}': (bound, denominator)
    for name, denominator in (('half', 2), ('third', 3))
    for bound, edge in enumerate(('left', 'top', 'right', 'bottom'))
}

#: Names of the parts that can be removed.
REMOVABLE_PARTS = tuple(_PARTS)


def check_removed(removed: str | None) -> str | None:
    """Return the part's name if it is known or None, else raise ValueError."""
    if removed is not None and removed not in _PARTS:
        raise ValueError(
            f'unknown part of a patch removed={removed!r}; known: '
            f'{", ".join(_PARTS)}, or None for a whole patch'
        )
    return removed


def remaining_boxes(boxes: Tensor, removed: str | None) -> Tensor:
    """What is left of patch boxes when a part of each is removed.

    A row or column of pixels goes with the part that its middle lies in; one whose
    middle lies on the cut stays. So of n pixels ``ceil(n / 2 - 1 / 2)`` or
    ``ceil(n / 3 - 1 / 2)`` go, and a box that is not empty keeps at least one.

    Args:
        boxes (Tensor): (N, 4) int64 xyxy in pixels, upper bounds exclusive; may be
            empty.
        removed (str, optional): Name of the part, one of :data:`REMOVABLE_PARTS`, or
            None.

    Returns:
        Tensor: (N, 4) int64 xyxy, each inside its box; ``boxes`` itself if nothing is
        removed.

    Raises:
        ValueError: If the name is not known.
    """
    if check_removed(removed) is None:
        return boxes
    bound, denominator = _PARTS[str(removed)]
    axis = bound % 2
    side = boxes[:, axis + 2] - boxes[:, axis]
    # ceil((2 n - d) / (2 d)) in whole numbers: the same pixels everywhere.
    cut = -torch.div(denominator - 2 * side, 2 * denominator, rounding_mode='floor')
    remaining = boxes.clone()
    remaining[:, bound] += cut if bound < 2 else -cut
    return remaining
