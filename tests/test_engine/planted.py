"""Parts that break on purpose, for tests; also imported by configs."""

from __future__ import annotations

import os

import torch
from mmdet.registry import MODELS, OPTIMIZERS, TASK_UTILS
from torch import nn

from mmdet_facepatch.attack import AdversarialLoss
from mmdet_facepatch.models.necks import TopDownP2


@MODELS.register_module(force=True)
class BreakingLoss(AdversarialLoss):
    """In one step (from 1), or from there on, its value or gradient is given.

    Args:
        value: Of the loss, also as text: a config file has no 'inf'.
        rank: The process where it breaks, or None for all.
    """

    def __init__(self, value=None, gradient=None, step=3, forever=False, rank=None):
        super().__init__()
        self.value, self.gradient, self.step = value, gradient, step
        self.forever, self.rank, self.calls = forever, rank, 0

    def forward(self, log_scores, avg_factor=None):
        loss = super().forward(log_scores, avg_factor)
        self.calls += 1
        due = self.calls == self.step or (self.forever and self.calls > self.step)
        here = self.rank is None or str(self.rank) == os.environ.get('RANK', '0')
        if not (due and here):
            return loss
        if self.gradient is not None:
            loss.register_hook(lambda grad: torch.full_like(grad, self.gradient))
        return loss if self.value is None else loss * 0 + float(self.value)


@OPTIMIZERS.register_module(force=True)
class BreakingAdam(torch.optim.Adam):
    """Makes infinities of finite numbers in one step (from 1)."""

    def __init__(self, params, lr, bad_step):
        super().__init__(params, lr)
        self.bad_step, self.steps = bad_step, 0

    def step(self, closure=None):
        super().step(closure)
        self.steps += 1
        if self.steps == self.bad_step:
            with torch.no_grad():
                self.param_groups[0]['params'][0].fill_(float('inf'))


@TASK_UTILS.register_module(force=True)
class FadingSampleSet:
    """The first anchor of each image, in so many calls; then none."""

    def __init__(self, calls):
        self.calls = calls
        self._left = calls

    def __call__(self, candidates, faces, patches):
        self._left -= 1
        return torch.arange(1 if self._left >= 0 else 0)


@MODELS.register_module(force=True)
class BreakingNeck(TopDownP2):
    """Features without numbers."""

    def forward(self, inputs):
        return tuple(out * float('nan') for out in super().forward(inputs))


@MODELS.register_module(force=True)
class NormNeck(TopDownP2):
    """With a BatchNorm that is in eval mode, as it should be."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm = nn.BatchNorm2d(kwargs['out_channels'])

    def forward(self, inputs):
        first, *others = super().forward(inputs)
        return (self.norm(first), *others)


@MODELS.register_module(force=True)
class SpoilingNeck(NormNeck):
    """Its statistics see features without numbers."""

    def forward(self, inputs):
        return super().forward([level * float('nan') for level in inputs])


@MODELS.register_module(force=True)
class TrainModeNeck(NormNeck):
    """Turns its BatchNorm to train mode when it is used, and leaves it there."""

    def forward(self, inputs):
        self.norm.train()
        return super().forward(inputs)


@MODELS.register_module(force=True)
class DriftingNeck(NormNeck):
    """The same, but hides it: only the running statistics tell."""

    def forward(self, inputs):
        self.norm.train()
        outputs = super().forward(inputs)
        self.norm.eval()
        return outputs
