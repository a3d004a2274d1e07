# Patch-Score-Focal (paper, section 4.2): Patch-Score, with more weight on
# higher scores.
_base_ = 'patch_score.py'
# detach_weight=False is the paper's equation 2 taken literally: it drives
# samples with scores from 0.5 to 0.607 up.
model = dict(loss=dict(type='FocalAdversarialLoss', gamma=2.0, detach_weight=True))
