"""Pictures of experiments, small enough to be kept with the repository."""

from __future__ import annotations

import io

from PIL import Image

#: Bytes that a picture may have.
PICTURE_LIMIT = 300_000
# Colours of pictures that are too large, and the factor of each step down in size.
_COLOURS = 255
_STEP = 0.8


def reduced_picture(content: bytes, limit: int = PICTURE_LIMIT) -> bytes:
    """A PNG of at most so many bytes: as it is, with fewer colours, or smaller.

    Args:
        content (bytes): Of a PNG file.
        limit (int): Bytes, at least 1,000. Defaults to 300,000.

    Returns:
        bytes: Of a PNG file; the same picture always gives the same bytes.
    """
    if len(content) <= limit:
        return content
    with Image.open(io.BytesIO(content)) as file:
        picture = file.convert('RGB')
    small = picture
    while True:
        encoded = _encoded(small)
        if len(encoded) <= limit or min(small.size) < 16:
            return encoded
        size = (max(1, round(_STEP * small.width)), max(1, round(_STEP * small.height)))
        # From the original each time: resizing again and again would blur.
        small = picture.resize(size, Image.Resampling.LANCZOS)


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    reduced = picture.quantize(_COLOURS, dither=Image.Dither.NONE)
    reduced.save(buffer, format='PNG', optimize=True)
    return buffer.getvalue()
