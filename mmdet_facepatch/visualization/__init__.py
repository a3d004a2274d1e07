"""Pictures of detections, as in the paper's Figure 1, and plots of curves."""

from .convergence import plot_convergence
from .curves import plot_f_beta, plot_precision_recall
from .figure_files import save_figure
from .matrix import plot_matrix
from .outcomes import describe_outcomes, draw_outcomes, save_png, side_by_side
from .ranking import Ranking, plot_ranking

__all__ = [
    'Ranking',
    'describe_outcomes',
    'draw_outcomes',
    'plot_convergence',
    'plot_f_beta',
    'plot_matrix',
    'plot_precision_recall',
    'plot_ranking',
    'save_figure',
    'save_png',
    'side_by_side',
]
