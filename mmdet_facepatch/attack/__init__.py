"""The attack: patch, placement, compositor, readers, sample sets, losses."""

from .attacker import PatchAttacker, attacker_of, find_attacker
from .candidates import Candidates, SLNCandidateReader
from .compositor import PatchCompositor, paste_patch
from .frozen_detector import build_frozen_detector, detector_digest
from .losses import (
    AdversarialLoss,
    FocalAdversarialLoss,
    adversarial_objective,
    focal_adversarial_objective,
)
from .parts import REMOVABLE_PARTS, remaining_boxes
from .paste_transform import PastePatch
from .patch import UniversalPatch, load_patch, save_patch
from .placement import PatchPlacement, patch_boxes
from .sample_sets import (
    PatchCombinationSampleSet,
    PatchIoUSampleSet,
    PatchScoreSampleSet,
)

__all__ = [
    'REMOVABLE_PARTS',
    'AdversarialLoss',
    'Candidates',
    'FocalAdversarialLoss',
    'PastePatch',
    'PatchAttacker',
    'PatchCombinationSampleSet',
    'PatchCompositor',
    'PatchIoUSampleSet',
    'PatchPlacement',
    'PatchScoreSampleSet',
    'SLNCandidateReader',
    'UniversalPatch',
    'adversarial_objective',
    'attacker_of',
    'build_frozen_detector',
    'detector_digest',
    'find_attacker',
    'focal_adversarial_objective',
    'load_patch',
    'paste_patch',
    'patch_boxes',
    'remaining_boxes',
    'save_patch',
]
