"""Universal adversarial patches against face detectors, as an MMDetection plugin.

Importing the package registers all its modules with MMDetection's registries; configs
do it by ``custom_imports = dict(imports=['mmdet_facepatch'])``. It first checks that
the OpenMMLab stack fits and says how to mend it where it does not.
"""

from .stack import (
    StackError,
    allow_mmengine_checkpoints,
    check_stack,
    register_configs,
)
from .version import __version__

check_stack()
allow_mmengine_checkpoints()
register_configs()

# These need the stack that was checked just now.
from . import (  # noqa: E402
    attack,
    datasets,
    engine,
    evaluation,
    models,
    results,
    visualization,
    weights,
    zoo,
)

__all__ = [
    'StackError',
    '__version__',
    'attack',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'results',
    'visualization',
    'weights',
    'zoo',
]
