"""Show what a data pipeline yields: annotated faces, and patches pasted on them.

As mmdet's tools/analysis_tools/browse_dataset.py. Faces are blue, patches dotted
yellow. Images of a training pipeline are shown after all transforms, those of a test
pipeline at their original size.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet.registry import DATASETS, VISUALIZERS
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress

from mmdet_facepatch.datasets import PastePatch, pipeline_steps
from mmdet_facepatch.engine import (
    add_debug_argument,
    complete_pipelines,
    data_config,
    load_config,
    run_tool,
)
from mmdet_facepatch.engine.loops.conditions import data_classes
from mmdet_facepatch.utils.target_classes import (
    TargetLabels,
    class_labels,
    split_target,
)
from mmdet_facepatch.visualization import evaluated_image

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of a detector or an attack')
    parser.add_argument(
        '--phase',
        choices=['train', 'val', 'test'],
        default='train',
        help='whose images',
    )
    parser.add_argument(
        '--patch',
        metavar='FILE',
        help="paste this patch, or, with 'init', the one that the attack starts from",
    )
    parser.add_argument(
        '--data',
        metavar='NAME',
        help="images in place of the config's, as in attack.py",
    )
    parser.add_argument('--num', type=int, help='stop after so many images')
    parser.add_argument('--output-dir', help='folder in which the pictures are saved')
    parser.add_argument('--not-show', action='store_true', help='open no windows')
    parser.add_argument(
        '--show-interval',
        type=float,
        default=2,
        help='seconds that each window stays open',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='override config keys: key=value ...',
    )
    add_debug_argument(parser)
    args = parser.parse_args()
    if args.not_show and args.output_dir is None:
        parser.error('--not-show without --output-dir leaves nothing to do')
    return args


def paste_step(cfg: Config, patch: str) -> dict[str, Any]:
    """Config of the transform that pastes the patch, at the attack's location."""
    model = cfg.model
    source: Any = patch
    if patch == 'init':
        if 'patch' not in model:
            raise KeyError(f'--patch init: {cfg.filename} is no config of an attack')
        source = model.patch.get('init') or dict(type='noise', seed=0)
    return dict(
        type='PastePatch',
        patch=source,
        placement=model.get('placement'),
        size=model.get('patch', {}).get('size', 128),
    )


def target_labels(cfg: Config, dataset: Any) -> tuple[int, ...]:
    """Labels of the attack's target; of all classes where the config names none."""
    classes = data_classes(dataset) or ('face',)
    target, _ = split_target(cfg.get('model', {}).get('target'))
    if target is None:
        return tuple(range(len(classes)))
    return class_labels(target, classes, None, 'the data set')


def with_patch(pipeline: list[dict], step: dict[str, Any]) -> list[dict]:
    """The pipeline with this step, in place of its own or after loading."""
    steps = [other for other in pipeline if other['type'] != 'PastePatch']
    loading = [i for i, other in enumerate(steps) if 'Image' in other['type']]
    return [*steps[: loading[0] + 1], step, *steps[loading[0] + 1 :]]


def picture_of(item: dict, phase: str) -> tuple[Any, Any]:
    """RGB image and data sample of what a pipeline yields."""
    inputs, samples = item['inputs'], item['data_samples']
    if phase == 'train':
        return inputs.permute(1, 2, 0).numpy()[..., ::-1].copy(), samples
    if not isinstance(inputs, list):
        inputs, samples = [inputs], [samples]
    batch = dict(inputs=[[x] for x in inputs], data_samples=[[x] for x in samples])
    return evaluated_image(batch), samples[0]


def main() -> None:
    args = parse_args()
    overlay = data_config(args.data, CONFIGS) if args.data else None
    cfg = load_config(args.config, options=args.cfg_options, overlay=overlay)
    if 'detector' in cfg.get('model', {}):
        complete_pipelines(cfg)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    options = cfg[f'{args.phase}_dataloader'].dataset
    inner = options
    while 'pipeline' not in inner:
        inner = inner.dataset
    if args.patch is not None:
        inner.pipeline = with_patch(inner.pipeline, paste_step(cfg, args.patch))
    dataset = DATASETS.build(options)
    visualizer = VISUALIZERS.build(dict(type='FaceVisualizer', name='browse'))
    visualizer.dataset_meta = dataset.metainfo
    labels = target_labels(cfg, dataset)
    visualizer.target_labels = TargetLabels(labels, labels)
    for step in pipeline_steps(dataset):
        if isinstance(step, PastePatch):
            step.labels = labels
    count = len(dataset) if args.num is None else min(args.num, len(dataset))
    for index in track_iter_progress(list(range(count))):
        image, sample = picture_of(dataset[index], args.phase)
        name = f'{str(sample.img_id).replace("/", "_")}.png'
        visualizer.add_datasample(
            name,
            image,
            sample,
            draw_pred=False,
            show=not args.not_show,
            wait_time=args.show_interval,
            out_file=args.output_dir and str(Path(args.output_dir) / name),
        )


if __name__ == '__main__':
    run_tool(main)
