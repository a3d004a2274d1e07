"""The attack: patch, placement, compositor, readers, sample sets, losses."""

from .attacker import PatchAttacker, attacker_of, find_attacker
from .candidates import Candidates, SLNCandidateReader
from .compositor import PatchCompositor, paste_patch
from .frozen_detector import build_frozen_detector, detector_digest
from .losses import AdversarialLoss, adversarial_objective
from .paste_transform import PastePatch
from .patch import UniversalPatch, load_patch, save_patch
from .placement import PatchPlacement, patch_boxes
from .sample_sets import PatchCombinationSampleSet, PatchIoUSampleSet

__all__ = [
    'AdversarialLoss',
    'Candidates',
    'PastePatch',
    'PatchAttacker',
    'PatchCombinationSampleSet',
    'PatchCompositor',
    'PatchIoUSampleSet',
    'PatchPlacement',
    'SLNCandidateReader',
    'UniversalPatch',
    'adversarial_objective',
    'attacker_of',
    'build_frozen_detector',
    'detector_digest',
    'find_attacker',
    'load_patch',
    'paste_patch',
    'patch_boxes',
    'save_patch',
]
