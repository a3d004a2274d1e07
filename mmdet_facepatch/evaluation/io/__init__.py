"""Files of an evaluation: ground truth and predictions."""

from .ground_truth import load_faces, load_ground_truth
from .predictions import load_predictions, save_predictions
from .text_predictions import read_text_predictions, write_text_predictions

__all__ = [
    'load_faces',
    'load_ground_truth',
    'load_predictions',
    'read_text_predictions',
    'save_predictions',
    'write_text_predictions',
]
