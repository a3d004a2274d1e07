"""The report of an evaluation: its files, and what its numbers depend on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.runner import Runner
from torch import nn

from ..attack import find_attacker
from ..attack.detector_config import dataset_leaves
from ..evaluation import (
    EvaluationSettings,
    FaceEvaluation,
    format_report,
    report_to_markdown,
    save_curves,
    save_report,
)
from ..evaluation.functional.faces import OFFICIAL_SUBSETS
from ..evaluation.metrics.target_metric import TargetMetric
from ..ops import provide_operators
from ..utils.files import write_atomically
from ..utils.provenance import device_name
from ..visualization import plot_f_beta, plot_precision_recall, save_figure

# What stands above the tables of a report.
FIRST_LINES = ('target', 'view')
# Share of steps without samples from which on a report warns of them.
MANY_EMPTY = 0.5


def write_report(
    folder: str | os.PathLike[str],
    evaluations: Mapping[str, FaceEvaluation],
    protocol: Mapping[str, Any],
) -> str:
    """Write report.json, report.md, curves.npz and plots/.

    Args:
        folder (str | os.PathLike[str]): Made if it is not there; earlier files are
            replaced.
        evaluations (Mapping[str, FaceEvaluation]): Evaluation by name of the condition,
            the reference first.
        protocol (Mapping[str, Any]): What the numbers depend on besides the settings.

    Returns:
        str: The table for the terminal.
    """
    target = Path(folder)
    (target / 'plots').mkdir(parents=True, exist_ok=True)
    save_report(target / 'report.json', evaluations, protocol)
    save_curves(target / 'curves.npz', evaluations)
    numbers = {name: e.numbers for name, e in evaluations.items()}
    intervals = {name: e.intervals for name, e in evaluations.items()}
    caption = report_caption(evaluations, protocol)
    markdown = report_to_markdown(numbers, intervals, caption=caption)
    write_atomically(target / 'report.md', f'{markdown}\n'.encode())
    _save_plots(target / 'plots', evaluations)
    return format_report(numbers, intervals, caption=caption)


def report_caption(
    evaluations: Mapping[str, FaceEvaluation], protocol: Mapping[str, Any]
) -> str:
    """What stands above the tables: doubts, target, view, and what numbers are.

    Args:
        evaluations (Mapping[str, FaceEvaluation]): Evaluation by name of the condition,
            the reference first.
        protocol (Mapping[str, Any]): See :func:`protocol_of`.
    """
    reference, first = next(iter(evaluations.items()))
    lines = [f'WARNING: {doubt}' for doubt in doubts(evaluations, protocol)]
    lines += [f'{key}: {protocol[key]}' for key in FIRST_LINES if protocol.get(key)]
    lines.append(f'precision/recall in % on {_images(first)}')
    delta = first.reference.calibrated_delta
    if not math.isnan(delta):
        origin = (
            _calibration(reference, first.settings)
            if first.data['reference'] == 'own'
            else 'as given by the reference'
        )
        lines.append(f'calibrated: score >= {delta:.4f}, {origin}')
    lines.append(
        'AF_beta: mean of F_beta over s = s_p - s_n, from '
        f'{"log-odds" if first.data["confidence"] == "margins" else "scores"} (lower '
        'is a better attack; not comparable between detectors, whose ranges differ)'
    )
    return ';\n'.join(lines)


def _calibration(reference: str, settings: EvaluationSettings) -> str:
    if settings.min_recall is None:
        return f'where the precision of {reference} reaches {settings.min_precision:g}'
    return (
        f'the highest up to 0.99 where the recall of {reference} reaches '
        f'{settings.min_recall:g}'
    )


def doubts(
    evaluations: Mapping[str, FaceEvaluation], protocol: Mapping[str, Any]
) -> list[str]:
    """Why the numbers may say nothing, one sentence each.

    Args:
        evaluations (Mapping[str, FaceEvaluation]): Evaluation by name of the condition,
            the reference first.
        protocol (Mapping[str, Any]): With ``steps`` and ``empty_steps`` of the attack,
            where there was one.
    """
    reference, first = next(iter(evaluations.items()))
    found = []
    if not first.data['num_detections']:
        found.append(
            f'the detector finds nothing in the images of {reference!r}: look at its '
            'weights, its score threshold and the target'
        )
    elif not first.numbers['all/AP'] > 0:
        found.append(
            f'no detection in the images of {reference!r} is right: look at the '
            'target, the weights and the annotation'
        )
    steps, empty = protocol.get('steps', 0), protocol.get('empty_steps', 0)
    if empty and empty >= MANY_EMPTY * steps:
        found.append(
            f'{empty} of {steps} steps of the attack had no adversarial sample and '
            'changed nothing: lower the score threshold of the sample set'
        )
    found += [
        f'no patch was pasted in the images of {name!r}'
        for name, evaluation in evaluations.items()
        if evaluation.numbers.get('num_patches') == 0
    ]
    return found


def _images(evaluation: FaceEvaluation) -> str:
    count = len(evaluation.img_ids)
    annotated = evaluation.data.get('annotated_images')
    if annotated is None:
        return f'{count:,} images'
    if annotated == count:
        return f'all {count:,} annotated images'
    return (
        f'{count:,} of the {annotated:,} annotated images (numbers of this part only)'
    )


def _save_plots(folder: Path, evaluations: Mapping[str, FaceEvaluation]) -> None:
    first = next(iter(evaluations.values()))

    def numbers(key: str) -> dict[str, float]:
        return {name: e.numbers[key] for name, e in evaluations.items()}

    def curves(key: str) -> dict[str, Any]:
        return {name: e.curves[key] for name, e in evaluations.items()}

    def pairs(horizontal: dict, vertical: dict) -> dict[str, tuple]:
        return {name: (horizontal[name], vertical[name]) for name in evaluations}

    betas = first.settings.betas
    thresholds = first.curves['margin_thresholds']
    (folder / 'f_beta.png').unlink(missing_ok=True)
    # Without a range, as nothing was detected on clean images, there is no curve.
    if len(thresholds):
        f_beta = plot_f_beta(
            thresholds,
            {beta: curves(f'all/F{beta:g}') for beta in betas},
            {
                beta: pairs(numbers(f'all/AF{beta:g}'), numbers(f'all/AF{beta:g}+'))
                for beta in betas
            },
        )
        save_figure(folder / 'f_beta.png', f_beta)
    subsets = [
        name for name in (*OFFICIAL_SUBSETS, 'all') if f'{name}/recall' in first.curves
    ]
    precision_recall = plot_precision_recall(
        {s: pairs(curves(f'{s}/recall'), curves(f'{s}/precision')) for s in subsets},
        {s: numbers(f'{s}/AP') for s in subsets},
        {
            s: pairs(
                numbers(f'{s}/recall@calibrated'), numbers(f'{s}/precision@calibrated')
            )
            for s in subsets
        },
    )
    save_figure(folder / 'precision_recall.png', precision_recall)


def protocol_of(runner: Runner) -> dict[str, Any]:
    """What the numbers depend on, as far as config and detector say it.

    Args:
        runner (Runner): With its test loop built.

    Returns:
        dict[str, Any]: Data set, evaluator, scales, the detector's test settings (score
        threshold, NMS, cap), the merge of scales, where the operators come from, the
        device and, under attack, detector, placement, conditions and digest.
    """
    cfg = runner.cfg.to_dict()
    dataset = cfg['test_dataloader']['dataset']
    model = cfg.get('model', {})
    protocol = dict(
        dataset={key: value for key, value in dataset.items() if key != 'pipeline'},
        pipeline=dataset.get('pipeline'),
        scales=_scales(dataset.get('pipeline', [])),
        target=_target(runner),
        view=describe_view(runner),
        evaluator=cfg['test_evaluator'],
        test_cfg=_test_cfg(runner.model),
        merge=(model.get('tta_model') or model).get('tta_cfg'),
        checkpoint=cfg.get('load_from'),
        operators=str(provide_operators()),
        device=device_name(runner.model),
    )
    attacker = find_attacker(runner.model)
    if attacker is not None:
        protocol.update(
            detector=model.get('detector'),
            placement=model.get('placement'),
            conditions=cfg['test_cfg'].get('conditions'),
            detector_digest=attacker.detector_digest,
        )
    return protocol


def _target(runner: Runner) -> str | None:
    """Names of the classes that are judged."""
    classes = runner.test_loop.dataloader.dataset.metainfo.get('classes')
    for metric in runner.test_loop.evaluator.metrics:
        if isinstance(metric, TargetMetric):
            labels = metric.target_labels.data
            return ', '.join(classes[i] if classes else f'class {i}' for i in labels)
    return None


def describe_view(runner: Runner) -> str:
    """How the test shows images to the detector, and what it keeps, in one line.

    Args:
        runner (Runner): With a test pipeline in its config.
    """
    cfg = runner.cfg.to_dict()
    pipeline = dataset_leaves(cfg['test_dataloader']['dataset'])[0]['pipeline']
    scales = _scales(pipeline)
    kept = _test_cfg(runner.model) or {}
    kept = kept.get('rcnn') or kept
    nms = _describe_nms(kept.get('nms'))
    parts = [f'score >= {kept["score_thr"]:g}'] if 'score_thr' in kept else []
    parts += [f'NMS at IoU {nms}'] if nms else []
    own = f' ({", ".join(parts)})' if parts else ''
    shown = ', '.join(map(_describe_scale, scales))
    if not any(str(step['type']).endswith('TestTimeAug') for step in pipeline):
        size = shown if ' x ' in shown else f'scale {shown or 1}'
        return f'as the detector is deployed, at {size}{own}'
    model = cfg.get('model', {})
    merge = (model.get('tta_model') or model).get('tta_cfg') or {}
    return (
        f'pyramid of scales {shown}{own}, merged by NMS at IoU '
        f'{_describe_nms(merge.get("nms"))}'
    )


def _describe_scale(scale: Any) -> str:
    return (
        ' x '.join(map(str, scale))
        if isinstance(scale, (tuple, list))
        else f'{scale:g}'
    )


def _describe_nms(nms: Any) -> str:
    return f'{nms["iou_threshold"]:g}' if nms and 'iou_threshold' in nms else ''


def _scales(steps: Any) -> list[Any]:
    """Every scale that a pipeline resizes to, in any depth of nesting."""
    if isinstance(steps, (list, tuple)):
        return [scale for step in steps for scale in _scales(step)]
    if not isinstance(steps, dict):
        return []
    if str(steps.get('type')).endswith('Resize'):
        return [steps.get('scale_factor') or steps.get('scale')]
    return _scales(steps.get('transforms', []))


def _test_cfg(model: nn.Module) -> dict[str, Any] | None:
    """Test settings of the detector inside wrappers and attackers."""
    attacker = find_attacker(model)
    inner: Any = model if attacker is None else attacker.detector
    # Distributed wrappers and test-time augmentation hold theirs as `module`.
    while not hasattr(inner, 'test_cfg') and hasattr(inner, 'module'):
        inner = inner.module
    test_cfg = getattr(inner, 'test_cfg', None)
    return None if test_cfg is None else dict(test_cfg)
