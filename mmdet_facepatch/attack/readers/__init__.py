"""Candidate readers: from a detector's forward pass to candidates.

One reader for each family of heads, found through a registry by the type of
the detector's head: :class:`AutoCandidateReader` does so, and
:func:`register_reader` adds readers of other heads.
"""

from .anchor import AnchorCandidateReader
from .base import (
    AutoCandidateReader,
    CandidateReader,
    find_reader,
    refuse_head,
    register_reader,
)
from .point import PointCandidateReader
from .query import QueryCandidateReader
from .two_stage import TwoStageCandidateReader

__all__ = [
    'AnchorCandidateReader',
    'AutoCandidateReader',
    'CandidateReader',
    'PointCandidateReader',
    'QueryCandidateReader',
    'TwoStageCandidateReader',
    'find_reader',
    'refuse_head',
    'register_reader',
]
