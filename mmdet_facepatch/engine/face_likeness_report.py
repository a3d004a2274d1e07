"""Tables, JSON and heat maps of which patches are taken for a face."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_atomically
from ..visualization import plot_matrix, save_figure
from .experiment_tables import markdown_table
from .face_likeness import Likeness

# What the numbers are; the second one fits beside a small heat map.
MEANING = 'highest score on the patch, mean over the pictures (%)'
LABEL = 'mean highest score (%)'


def _names(results: Sequence[Likeness], field: str) -> list[Any]:
    """The values of a field, each once, in their order."""
    return list(dict.fromkeys(getattr(result, field) for result in results))


def likeness_by_side(results: Sequence[Likeness]) -> np.ndarray:
    """Mean scores in percent.

    Args:
        results: Of one detector on one background.

    Returns:
        (patches, sides) float64.
    """
    means = {(r.patch, r.side): 100 * r.mean for r in results}
    return np.array([[means[patch, side] for side in _names(results, 'side')]
                     for patch in _names(results, 'patch')])


def likeness_by_detector(results: Sequence[Likeness]) -> np.ndarray:
    """Mean scores in percent at the side where they are highest.

    Args:
        results: Of several detectors on one background.

    Returns:
        (patches, detectors) float64.
    """
    columns = [likeness_by_side([r for r in results if r.detector == name]).max(axis=1)
               for name in _names(results, 'detector')]
    return np.stack(columns, axis=1)


def _table(title: str, rows: Sequence[str], heads: Sequence[str],
           values: np.ndarray) -> str:
    return markdown_table(title, heads, {
        row: [f'{value:.1f}' for value in numbers]
        for row, numbers in zip(rows, values, strict=True)})


def likeness_tables(results: Sequence[Likeness]) -> tuple[str, list[str]]:
    """Tables of one background.

    Args:
        results: Of all detectors and patches on it.

    Returns:
        Patches by detectors, at the side where the mean is highest; and for each
        detector patches by sides. Markdown.
    """
    background, = _names(results, 'background')
    patches, detectors = _names(results, 'patch'), _names(results, 'detector')
    own = {name: [r for r in results if r.detector == name] for name in detectors}
    return _table(f'On {background}, at the side where it is highest', patches,
                  detectors, likeness_by_detector(results)), [
        _table(f'On {background}, {name}', patches,
               [f'{side} px' for side in _names(own[name], 'side')],
               likeness_by_side(own[name])) for name in detectors]


def likeness_to_markdown(title: str, results: Sequence[Likeness]) -> str:
    """All tables.

    Args:
        title: Of the page.
        results: Of all detectors, patches and backgrounds.

    Returns:
        Markdown, without a newline at the end.
    """
    parts = [f'# {title}', f'In the cells: {MEANING}; 0.0 where nothing is detected.']
    for background in _names(results, 'background'):
        summary, by_side = likeness_tables(
            [r for r in results if r.background == background])
        parts += [summary, *by_side]
    return '\n\n'.join(parts)


def write_likeness(
    folder: str | Path,
    title: str,
    results: Sequence[Likeness],
    manifest: Mapping[str, Any],
) -> str:
    """Write face_likeness.json, face_likeness.md and heat maps.

    Args:
        folder: Made if it is not there; earlier files are replaced.
        title: Of tables and pictures.
        results: Of all detectors, patches and backgrounds.
        manifest: What the numbers depend on.

    Returns:
        The tables in Markdown.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    rows = [dict(detector=r.detector, patch=r.patch, background=r.background,
                 side=r.side, mean=r.mean, highest=max(r.scores),
                 scores=list(r.scores)) for r in results]
    content = json.dumps(dict(title=title, manifest=dict(manifest), results=rows),
                         indent=2, allow_nan=False)
    write_atomically(target / 'face_likeness.json', f'{content}\n'.encode())
    table = likeness_to_markdown(title, results)
    write_atomically(target / 'face_likeness.md', f'{table}\n'.encode())
    for background in _names(results, 'background'):
        chosen = [r for r in results if r.background == background]
        _draw(target, title, background, chosen)
    return table


def likeness_of_rows(rows: Sequence[Mapping[str, Any]]) -> list[Likeness]:
    """``results`` of ``face_likeness.json`` as they were before they were written."""
    return [Likeness(row['detector'], row['patch'], row['background'], row['side'],
                     tuple(row['scores'])) for row in rows]


def read_likeness(path: str | Path) -> tuple[list[Likeness], dict[str, Any]]:
    """Results and manifest of ``face_likeness.json``.

    Args:
        path: The file, as :func:`write_likeness` leaves it.

    Returns:
        The results, and the manifest, which tells of each of their detectors and
        patches.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is another file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist: there are no kept results')
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        results = likeness_of_rows(content['results'])
        manifest = content['manifest']
        for result in results:
            dict(manifest['detectors'][result.detector])
            dict(manifest['patches'][result.patch])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is not a face_likeness.json: {error!r}; name '
                         'another file or leave --kept away') from error
    return results, manifest


def _draw(folder: Path, title: str, background: str, results: Sequence[Likeness]
          ) -> None:
    patches, detectors = _names(results, 'patch'), _names(results, 'detector')
    save_figure(folder / f'{background}.png', plot_matrix(
        likeness_by_detector(results), patches, detectors,
        f'{title}\non {background}, at the side where it is highest', LABEL, 100))
    for detector in detectors:
        own = [r for r in results if r.detector == detector]
        sides = [f'{side} px' for side in _names(own, 'side')]
        save_figure(folder / f'{background}_{detector}.png', plot_matrix(
            likeness_by_side(own), patches, sides,
            f'{title}\n{detector}, on {background}', LABEL, 100))
