"""The one writer of tables, for Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate


def markdown_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], title: str = ''
) -> str:
    """A table in Markdown; the first column is aligned left, all others right.

    Args:
        heads (Sequence[str]): One for each column, the first one may be empty.
        rows (Iterable[Sequence[str]]): Texts, one for each column.
        title (str): In bold above the table. Defaults to ''.

    Returns:
        str: Markdown, without a newline at the end.
    """
    cells = [[cell.replace('|', '\\|') for cell in row] for row in rows]
    table = _tabulate([cell.replace('|', '\\|') for cell in heads], cells, 'pipe')
    return f'**{title}**\n\n{table}' if title else table


def text_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], title: str = ''
) -> str:
    """As :func:`markdown_table`, for the terminal."""
    table = _tabulate(heads, list(rows), 'simple')
    return f'{title}\n{table}' if title else table


def _tabulate(heads: Sequence[str], rows: Sequence[Sequence[str]], layout: str) -> str:
    return tabulate(
        rows,
        headers=heads,
        tablefmt=layout,
        colalign=('left', *('right' for _ in heads[1:])),
        disable_numparse=True,
    )
