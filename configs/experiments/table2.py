# Table 2: patches of other frameworks on SLN.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Table 2: transfer of Patch-IoU from other frameworks to SLN'
figure = 'gallery'

entries = [
    dict(
        name='Baseline-SLN',
        paper=dict(
            easy='99.0/73.4', medium='99.4/62.4', hard='99.4/27.9', all='99.4/22.5'
        ),
    ),
    dict(
        name='noise',
        patch={{_base_.inits.noise}},
        paper=dict(
            easy='99.1/54.9', medium='99.4/41.5', hard='99.4/17.6', all='99.4/14.2'
        ),
    ),
    dict(
        name='SLN',
        attack=dict(method='patch_iou'),
        paper=dict(easy='2.7/2.7', medium='6.5/3.7', hard='7.3/1.8', all='7.3/1.4'),
    ),
    dict(
        name='SSD to SLN',
        attack=dict(method='patch_iou', detector='ssd'),
        paper=dict(easy='42.5/29.9'),
    ),
    dict(
        name='RetinaNet to SLN',
        attack=dict(method='patch_iou', detector='retinanet'),
        paper=dict(
            easy='37.4/28.7', medium='48.5/24.5', hard='49.2/10.5', all='49.2/8.5'
        ),
    ),
    dict(
        name='Faster R-CNN to SLN',
        attack=dict(method='patch_iou', detector='faster_rcnn'),
        paper=dict(easy='32.9/3.8', medium='44.9/3.4', hard='46.3/1.5', all='46.3/1.2'),
    ),
]
