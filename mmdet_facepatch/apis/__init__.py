"""What the tools do, from Python: optimise a patch, evaluate patches, find faces.

``attack`` and ``evaluate`` switch on safe checkpoint loading for the whole process:
from then on MMEngine reads checkpoints without running what is in them.
"""

from .attack import AttackResult, attack
from .evaluate import Evaluations, evaluate
from .inferencer import FaceInferencer

__all__ = ['AttackResult', 'Evaluations', 'FaceInferencer', 'attack', 'evaluate']
