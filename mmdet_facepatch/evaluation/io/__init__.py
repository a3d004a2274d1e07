"""Files of an evaluation: ground truth and predictions."""
