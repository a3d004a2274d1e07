"""Universal adversarial patches against face detectors, as an MMDetection plugin.

Importing the package registers its modules with MMDetection's registries, its configs
as ``mmdet_facepatch::...`` and its weights as ``facepatch://...``; configs do it by
``custom_imports = dict(imports=['mmdet_facepatch'])``. It checks that the OpenMMLab
stack fits, and stands in for mmcv's compiled operators where they are missing
(:mod:`mmdet_facepatch.ops`). Nothing else of the process changes; what guards runs
against untrusted files is switched on by :func:`enable_safeguards`.
"""

from .stack import StackError, check_stack, import_parts
from .version import __version__

check_stack()
import_parts('torch', 'mmengine', 'mmcv')

from . import ops  # noqa: E402

# mmdet imports them.
ops.provide_operators()
import_parts('mmcv.ops', 'mmdet', 'mmdet.datasets')

# These need the stack that was checked just now.
from . import (  # noqa: E402
    apis,
    attack,
    datasets,
    engine,
    evaluation,
    experiments,
    models,
    visualization,
    zoo,
)
from .engine import enable_safeguards  # noqa: E402

__all__ = [
    'StackError',
    '__version__',
    'apis',
    'attack',
    'datasets',
    'enable_safeguards',
    'engine',
    'evaluation',
    'experiments',
    'models',
    'ops',
    'visualization',
    'zoo',
]
