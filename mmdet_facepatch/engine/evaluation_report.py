"""Everything that is written about an evaluation, in one folder."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evaluation import (
    FaceEvaluation,
    format_report,
    report_to_markdown,
    save_curves,
    save_report,
)
from ..evaluation.ground_truth import OFFICIAL_SUBSETS
from ..files import write_atomically
from ..visualization import plot_f_beta, plot_precision_recall, save_figure


def write_evaluation(
    folder: str | os.PathLike[str],
    evaluations: Mapping[str, FaceEvaluation],
    protocol: Mapping[str, Any],
) -> str:
    """Write report.json, report.md, curves.npz and plots/.

    Args:
        folder: Made if it is not there; earlier files are replaced.
        evaluations: Evaluation by name of the condition, the reference first.
        protocol: What the numbers depend on besides the settings.

    Returns:
        The table for the terminal.
    """
    target = Path(folder)
    (target / 'plots').mkdir(parents=True, exist_ok=True)
    save_report(target / 'report.json', evaluations, protocol)
    save_curves(target / 'curves.npz', evaluations)
    numbers = {name: e.numbers for name, e in evaluations.items()}
    intervals = {name: e.intervals for name, e in evaluations.items()}
    caption = _caption(evaluations)
    markdown = report_to_markdown(numbers, intervals, caption=caption)
    write_atomically(target / 'report.md', f'{markdown}\n'.encode())
    _save_plots(target / 'plots', evaluations)
    return format_report(numbers, intervals, caption=caption)


def _caption(evaluations: Mapping[str, FaceEvaluation]) -> str:
    reference, first = next(iter(evaluations.items()))
    lines = [f'precision/recall in % on {_images(first)}']
    if not math.isnan(first.calibrated_delta):
        lines.append(
            f'calibrated: score >= {first.calibrated_delta:.4f}, where the '
            f'precision of {reference} reaches {first.settings.min_precision:g}')
    low, high = first.settings.margin_range
    lines.append(
        f'AF_beta: mean of F_beta over s = s_p - s_n from {low:g} to {high:g}, from '
        f'{"log-odds" if first.data["confidence"] == "margins" else "scores"} (lower '
        'is a better attack)')
    return ';\n'.join(lines)


def _images(evaluation: FaceEvaluation) -> str:
    count = len(evaluation.img_ids)
    annotated = evaluation.data.get('annotated_images')
    if annotated is None:
        return f'{count:,} images'
    if annotated == count:
        return f'all {count:,} annotated images'
    return (f'{count:,} of the {annotated:,} annotated images (numbers of this part '
            'only)')


def _save_plots(folder: Path, evaluations: Mapping[str, FaceEvaluation]) -> None:
    first = next(iter(evaluations.values()))
    betas = first.settings.betas
    save_figure(folder / 'f_beta.png', plot_f_beta(
        first.curves['margin_thresholds'],
        {beta: _curve(evaluations, f'all/F{beta:g}') for beta in betas},
        {beta: {name: e.numbers[f'all/AF{beta:g}'] for name, e in evaluations.items()}
         for beta in betas}))
    subsets = [name for name in (*OFFICIAL_SUBSETS, 'all')
               if f'{name}/recall' in first.curves]
    save_figure(folder / 'precision_recall.png', plot_precision_recall(
        {subset: {name: (e.curves[f'{subset}/recall'], e.curves[f'{subset}/precision'])
                  for name, e in evaluations.items()} for subset in subsets},
        {subset: {name: e.numbers[f'{subset}/AP'] for name, e in evaluations.items()}
         for subset in subsets},
        {subset: {name: (e.numbers[f'{subset}/recall@calibrated'],
                         e.numbers[f'{subset}/precision@calibrated'])
                  for name, e in evaluations.items()} for subset in subsets}))


def _curve(evaluations: Mapping[str, FaceEvaluation], key: str) -> dict[str, Any]:
    return {name: evaluation.curves[key] for name, evaluation in evaluations.items()}
