"""The attack: patch, placement, compositor, readers, sample sets, losses."""

from .attacker import PatchAttacker, attacker_of, find_attacker
from .candidates import Candidates
from .compositor import PatchCompositor, paste_patch
from .detector_config import read_detector_config
from .detector_positives import DetectorPositivesSampleSet
from .frozen_detector import build_frozen_detector, detector_digest, merge_batch_norms
from .losses import (
    AdversarialLoss,
    FocalAdversarialLoss,
    adversarial_objective,
    focal_adversarial_objective,
)
from .patch.parts import REMOVABLE_PARTS, remaining_boxes
from .patch.transforms import PatchColorJitter, PatchNoise, PatchPerspective
from .patch.universal_patch import UniversalPatch, load_patch, save_patch
from .placement import PatchPlacement, patch_boxes
from .readers import (
    AnchorCandidateReader,
    AutoCandidateReader,
    CandidateReader,
    PointCandidateReader,
    QueryCandidateReader,
    TwoStageCandidateReader,
    register_reader,
)
from .sample_sets import (
    PatchCombinationSampleSet,
    PatchIoUSampleSet,
    PatchScoreSampleSet,
)

__all__ = [
    'REMOVABLE_PARTS',
    'AdversarialLoss',
    'AnchorCandidateReader',
    'AutoCandidateReader',
    'CandidateReader',
    'Candidates',
    'DetectorPositivesSampleSet',
    'FocalAdversarialLoss',
    'PatchAttacker',
    'PatchColorJitter',
    'PatchCombinationSampleSet',
    'PatchCompositor',
    'PatchIoUSampleSet',
    'PatchNoise',
    'PatchPerspective',
    'PatchPlacement',
    'PatchScoreSampleSet',
    'PointCandidateReader',
    'QueryCandidateReader',
    'TwoStageCandidateReader',
    'UniversalPatch',
    'adversarial_objective',
    'attacker_of',
    'build_frozen_detector',
    'detector_digest',
    'find_attacker',
    'focal_adversarial_objective',
    'load_patch',
    'merge_batch_norms',
    'paste_patch',
    'patch_boxes',
    'read_detector_config',
    'register_reader',
    'remaining_boxes',
    'save_patch',
]
