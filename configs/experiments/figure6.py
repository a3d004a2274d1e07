# Figure 6: why AP does not measure an attack. Detections by rank, the threshold, and
# what was detected; AP sees ranks only.
_base_ = 'figure1.py'
title = 'Figure 6: rank, threshold and AP'
figure = 'ranking'
