"""Pictures of detections, as in the paper's Figure 1."""

from .outcomes import describe_outcomes, draw_outcomes, save_png, side_by_side

__all__ = ['describe_outcomes', 'draw_outcomes', 'save_png', 'side_by_side']
