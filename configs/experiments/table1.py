# Table 1: patches as they start, and optimised by Patch-IoU. The paper's objects
# are a parachute, a lemon, a bottle and a banana of ImageNet, its faces others.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Table 1: patches without and with Patch-IoU'
figure = 'gallery'
# Of the patch from noise; the others have one.
seeds = (0, 1, 2)

entries = [
    dict(
        name='Baseline-SLN',
        paper=dict(
            easy='99.0/73.4', medium='99.4/62.4', hard='99.4/27.9', all='99.4/22.5'
        ),
    ),
    dict(
        name='noise, not optimised',
        patch={{_base_.inits.noise}},
        paper=dict(
            easy='99.1/54.9', medium='99.4/41.5', hard='99.4/17.6', all='99.4/14.2'
        ),
    ),
    dict(
        name='coffee (paper: parachute), not optimised',
        patch={{_base_.inits.coffee}},
        paper=dict(
            easy='99.1/51.8', medium='99.3/37.2', hard='99.3/15.8', all='99.3/12.8'
        ),
    ),
    dict(
        name='rocket (lemon), not optimised',
        patch={{_base_.inits.rocket}},
        paper=dict(
            easy='98.9/53.4', medium='99.2/39.4', hard='99.2/16.7', all='99.2/13.4'
        ),
    ),
    dict(
        name='motorcycle (bottle), not optimised',
        patch={{_base_.inits.motorcycle}},
        paper=dict(
            easy='99.1/53.5', medium='99.4/41.1', hard='99.4/17.3', all='99.4/13.9'
        ),
    ),
    dict(
        name='cat (banana), not optimised',
        patch={{_base_.inits.cat}},
        paper=dict(
            easy='99.1/55.2', medium='99.4/41.4', hard='99.4/17.5', all='99.4/14.1'
        ),
    ),
    dict(
        name='face A, not optimised',
        patch={{_base_.inits.face_a}},
        paper=dict(
            easy='51.8/30.2', medium='61.4/24.2', hard='61.8/10.3', all='61.8/8.3'
        ),
    ),
    dict(
        name='face B, not optimised',
        patch={{_base_.inits.face_b}},
        paper=dict(
            easy='77.8/39.5', medium='83.5/30.1', hard='83.6/12.9', all='83.6/10.4'
        ),
    ),
    dict(
        name='face C, not optimised',
        patch={{_base_.inits.face_c}},
        paper=dict(
            easy='98.4/38.3', medium='98.9/29.8', hard='98.9/12.7', all='98.9/10.2'
        ),
    ),
    dict(
        name='noise',
        attack=dict(method='patch_iou', init={{_base_.inits.noise}}),
        paper=dict(easy='2.7/2.7', medium='6.5/3.7', hard='7.3/1.8', all='7.3/1.4'),
    ),
    dict(
        name='coffee (parachute)',
        attack=dict(method='patch_iou', init={{_base_.inits.coffee}}, seed=0),
        paper=dict(easy='2.1/0.5', medium='4.8/0.7', hard='5.9/0.4', all='5.9/0.3'),
    ),
    dict(
        name='rocket (lemon)',
        attack=dict(method='patch_iou', init={{_base_.inits.rocket}}, seed=0),
        paper=dict(easy='0.2/0.1', medium='0.9/0.3', hard='1.0/0.2', all='1.0/0.1'),
    ),
    dict(
        name='motorcycle (bottle)',
        attack=dict(method='patch_iou', init={{_base_.inits.motorcycle}}, seed=0),
        paper=dict(easy='1.1/1.1', medium='2.2/1.2', hard='2.5/0.6', all='2.6/0.5'),
    ),
    dict(
        name='cat (banana)',
        attack=dict(method='patch_iou', init={{_base_.inits.cat}}, seed=0),
        paper=dict(easy='10.2/5.0', medium='19.0/5.6', hard='20.3/2.5', all='20.3/2.0'),
    ),
    dict(
        name='face A',
        attack=dict(method='patch_iou', init={{_base_.inits.face_a}}, seed=0),
        paper=dict(easy='0.0/0.0', medium='0.0/0.0', hard='0.0/0.0', all='0.0/0.0'),
    ),
    dict(
        name='face B',
        attack=dict(method='patch_iou', init={{_base_.inits.face_b}}, seed=0),
        paper=dict(easy='0.1/0.0', medium='2.3/0.2', hard='2.6/0.1', all='2.6/0.1'),
    ),
    dict(
        name='face C',
        attack=dict(method='patch_iou', init={{_base_.inits.face_c}}, seed=0),
        paper=dict(easy='0.1/0.1', medium='0.2/0.1', hard='0.3/0.0', all='0.3/0.0'),
    ),
]
