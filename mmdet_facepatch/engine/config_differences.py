"""Keys in which two configs differ, as a user writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: What a key has that is not in a config.
NOT_SET = object()
# How many keys a message names, and how much of a value it shows.
NAMED_KEYS = 8
SHOWN_LENGTH = 80


@dataclass(frozen=True)
class Difference:
    """A key with another value.

    Attributes:
        key (str): Dotted path, as ``model.placement.alpha``; entries of lists are
            numbered.
        old (Any): Value, or :data:`NOT_SET`.
        new (Any): Likewise.
    """

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f'{self.key}: {short_text(self.old)} -> {short_text(self.new)}'


def short_text(value: Any) -> str:
    """A value as text, cut where it is long."""
    text = 'not set' if value is NOT_SET else repr(value)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + '...'


def config_differences(
    old: Any, new: Any, may_differ: Sequence[str] = (), key: str = ''
) -> Iterator[Difference]:
    """Compare two configs key by key.

    Args:
        old (Any): A config, or a value of one; dicts, lists and plain values.
        new (Any): Likewise.
        may_differ (Sequence[str]): Dotted paths that are not compared, nor what is
            below them. Defaults to ().
        key (str): Path of these values. Defaults to ''.

    Yields:
        Difference: In the order of ``new``, then what only ``old`` has. Tuples and
        lists are the same. Lists of different lengths are one difference.

    Example:
        >>> old = dict(model=dict(alpha=0.5, size=[8, 8]))
        >>> new = dict(model=dict(alpha=0.4, size=(8, 8)))
        >>> [str(found) for found in config_differences(old, new)]
        ['model.alpha: 0.5 -> 0.4']
    """
    if key in may_differ:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = dict.fromkeys([*new, *old])
        pairs = [(str(n), old.get(n, NOT_SET), new.get(n, NOT_SET)) for n in names]
    elif (
        isinstance(old, (list, tuple))
        and isinstance(new, (list, tuple))
        and len(old) == len(new)
    ):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))]
    else:
        if old != new:
            yield Difference(key, old, new)
        return
    for name, before, after in pairs:
        path = f'{key}.{name}' if key else name
        yield from config_differences(before, after, may_differ, path)


def named_differences(found: Sequence[Difference]) -> str:
    """The first differences, for an error message."""
    text = '; '.join(map(str, found[:NAMED_KEYS]))
    more = len(found) - NAMED_KEYS
    return f'{text}; and {more} more' if more > 0 else text
