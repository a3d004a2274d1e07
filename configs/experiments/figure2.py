# Figure 2: how patches evolve from different starts.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Figure 2: evolution of the patch under Patch-IoU'
figure = 'evolution'
entries = [
    dict(name='noise', attack=dict(method='patch_iou', init={{_base_.inits.noise}})),
    dict(name='coffee', attack=dict(method='patch_iou', init={{_base_.inits.coffee}})),
    dict(name='rocket', attack=dict(method='patch_iou', init={{_base_.inits.rocket}})),
    dict(
        name='motorcycle',
        attack=dict(method='patch_iou', init={{_base_.inits.motorcycle}}),
    ),
    dict(name='cat', attack=dict(method='patch_iou', init={{_base_.inits.cat}})),
    dict(name='face A', attack=dict(method='patch_iou', init={{_base_.inits.face_a}})),
    dict(name='face B', attack=dict(method='patch_iou', init={{_base_.inits.face_b}})),
    dict(name='face C', attack=dict(method='patch_iou', init={{_base_.inits.face_c}})),
]
