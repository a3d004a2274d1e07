# Equation 2 taken literally, and with its weight held constant: which gradient
# drives scores down further (not in the paper, which does not say what it uses).
_base_ = '_base_/subset_zoo.py'
title = 'Patch-Score-Focal: constant and literal weight'
figure = 'f_beta'

entries = [
    dict(name='Baseline-SLN'),
    dict(name='constant weight', attack=dict(method='patch_score_focal')),
    dict(
        name='literal',
        attack=dict(
            method='patch_score_focal', options={'model.loss.detach_weight': False}
        ),
    ),
]
