"""Pictures of detections, as in the paper's Figure 1, and plots of curves."""

from .curves import plot_f_beta, plot_precision_recall
from .face_visualizer import FaceVisualizer, evaluated_image
from .pages import save_figure, save_png, side_by_side
from .plots import Ranking, plot_convergence, plot_matrix, plot_ranking

__all__ = [
    'FaceVisualizer',
    'Ranking',
    'evaluated_image',
    'plot_convergence',
    'plot_f_beta',
    'plot_matrix',
    'plot_precision_recall',
    'plot_ranking',
    'save_figure',
    'save_png',
    'side_by_side',
]
