"""What matching, sampling and losses take of a training step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from benchmarks.attack import batch_of
from benchmarks.faces import noise_images, scattered
from benchmarks.measure import Measurement, side_by_side

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SIZE, BATCH, FACES = 640, 8, 20


def benchmark_training(repeat: int) -> Iterator[Measurement]:
    """Share of the losses in a step, both with backward passes."""
    cfg = Config.fromfile(CONFIGS / 'sln_mbv2_widerface_subset.py')
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        model: Any = MODELS.build(cfg.model)
    model = model.to('cuda' if torch.cuda.is_available() else 'cpu').train()
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-5))
    data = batch_of(
        noise_images(BATCH, SIZE),
        [scattered(FACES, SIZE, 12, 200, seed) for seed in range(BATCH)],
    )

    batch = model.data_preprocessor(data, True)
    with torch.no_grad():
        maps = model.bbox_head(model.extract_feat(batch['inputs']))
    scores, deltas = (
        [level.detach().requires_grad_() for level in kind] for kind in maps
    )
    faces = [sample.gt_instances for sample in batch['data_samples']]
    metas = [sample.metainfo for sample in batch['data_samples']]

    def losses_alone() -> None:
        found = model.bbox_head.loss_by_feat(scores, deltas, faces, metas)
        model.parse_losses(found)[0].backward()

    whole, losses = side_by_side(
        [lambda: model.train_step(data, optimizer), losses_alone], repeat
    )
    yield Measurement(
        f'training: a step, {BATCH} images of {SIZE} px, {FACES} faces in each',
        whole,
        's',
    )
    yield Measurement(
        'training: matching, sampling and losses of it', losses / whole * 100, '%', 10
    )
