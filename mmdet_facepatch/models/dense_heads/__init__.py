"""Dense heads."""

from .sln_head import SLNHead, log_odds

__all__ = ['SLNHead', 'log_odds']
