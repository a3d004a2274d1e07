"""Registries of the scope ``mmdet_facepatch``, below MMDetection's.

The modules of this package are registered with MMDetection's registries, so that
configs with ``default_scope = 'mmdet'`` find them. The registries here are children of
those: with ``default_scope='mmdet_facepatch'`` or ``DetInferencer(..., scope=
'mmdet_facepatch')`` all of both is found, and a prefix, ``mmdet_facepatch.``, is found
in configs of other projects. MMEngine imports this module when it meets the scope.
"""

from __future__ import annotations

from mmdet import registry as mmdet_registry
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

SCOPE = 'mmdet_facepatch'


def _below(parent: Registry, *locations: str) -> Registry:
    """A child of one of MMDetection's registries; ``locations`` are imported first."""
    return Registry(
        parent.name, parent=parent, scope=SCOPE, locations=[*locations, SCOPE]
    )


RUNNERS = _below(mmdet_registry.RUNNERS)
RUNNER_CONSTRUCTORS = _below(mmdet_registry.RUNNER_CONSTRUCTORS)
LOOPS = _below(mmdet_registry.LOOPS, 'mmdet.engine')
HOOKS = _below(mmdet_registry.HOOKS, 'mmdet.engine')
LOG_PROCESSORS = _below(mmdet_registry.LOG_PROCESSORS)

DATASETS = _below(mmdet_registry.DATASETS, 'mmdet.datasets')
DATA_SAMPLERS = _below(mmdet_registry.DATA_SAMPLERS, 'mmdet.datasets')
TRANSFORMS = _below(mmdet_registry.TRANSFORMS, 'mmdet.datasets')

MODELS = _below(mmdet_registry.MODELS, 'mmdet.models')
MODEL_WRAPPERS = _below(mmdet_registry.MODEL_WRAPPERS)
TASK_UTILS = _below(mmdet_registry.TASK_UTILS, 'mmdet.models')
WEIGHT_INITIALIZERS = _below(mmdet_registry.WEIGHT_INITIALIZERS)

OPTIMIZERS = _below(mmdet_registry.OPTIMIZERS, 'mmdet.engine')
OPTIM_WRAPPERS = _below(mmdet_registry.OPTIM_WRAPPERS)
OPTIM_WRAPPER_CONSTRUCTORS = _below(
    mmdet_registry.OPTIM_WRAPPER_CONSTRUCTORS, 'mmdet.engine'
)
PARAM_SCHEDULERS = _below(mmdet_registry.PARAM_SCHEDULERS, 'mmdet.engine')

METRICS = _below(mmdet_registry.METRICS, 'mmdet.evaluation')
EVALUATOR = _below(mmdet_registry.EVALUATOR)
VISUALIZERS = _below(mmdet_registry.VISUALIZERS, 'mmdet.visualization')
VISBACKENDS = _below(mmdet_registry.VISBACKENDS)
# mmdet has none.
FUNCTIONS = _below(MMENGINE_FUNCTIONS)

#: Has LoadIntactImage as ``facepatch.LoadImageFromFile``: mmdet's DetInferencer puts a
#: loader of its own in place of a step of that name, in whatever scope. The package's
#: scope is another one, since there a plain ``LoadImageFromFile`` must stay mmcv's: the
#: inferencer draws on images that mmcv has rotated by their EXIF data.
LOADERS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope='facepatch')
