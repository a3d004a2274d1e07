# Table 3: the methods, all from noise, top location.
_base_ = '_base_/subset_zoo.py'
title = 'Table 3: Patch-Score, Patch-Score-Focal and Patch-Combination'
figure = 'f_beta'
noise = dict(type='noise', seed=0)

entries = [
    dict(
        name='Baseline-SLN',
        paper=dict(
            easy='99.0/73.4', medium='99.4/62.4', hard='99.4/27.9', all='99.4/22.5'
        ),
    ),
    dict(
        name='Patch-Score',
        attack=dict(method='patch_score', init=noise),
        paper=dict(
            easy='98.5/25.9', medium='99.0/20.0', hard='99.0/8.5', all='99.0/6.8'
        ),
    ),
    dict(
        name='Patch-Score-Focal',
        attack=dict(method='patch_score_focal', init=noise),
        paper=dict(
            easy='98.4/23.4', medium='98.9/17.9', hard='98.9/7.7', all='98.9/6.2'
        ),
    ),
    dict(
        name='Patch-Combination',
        attack=dict(method='patch_combination', init=noise),
        paper=dict(
            easy='98.2/20.6', medium='98.7/15.7', hard='98.8/6.7', all='98.8/5.3'
        ),
    ),
]
