# Figure 2: how patches evolve from eleven starts, of the paper's kinds: noise, seven
# images without a face, three faces. The starts as they are stand beside them; the
# faces as they are, in table1.py.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Figure 2: evolution of the patch under Patch-IoU'
figure = 'evolution'
_inits = dict(
    noise={{_base_.inits.noise}},
    coffee={{_base_.inits.coffee}},
    rocket={{_base_.inits.rocket}},
    motorcycle={{_base_.inits.motorcycle}},
    cat={{_base_.inits.cat}},
    galaxies={{_base_.inits.galaxies}},
    retina={{_base_.inits.retina}},
    tissue={{_base_.inits.tissue}},
)
_faces = {
    'face A': {{_base_.inits.face_a}},
    'face B': {{_base_.inits.face_b}},
    'face C': {{_base_.inits.face_c}},
}
entries = [
    dict(name='clean'),
    *(
        dict(name=f'{_name}, not optimised', patch=_init)
        for _name, _init in _inits.items()
    ),
    *(
        dict(name=_name, attack=dict(method='patch_iou', init=_init))
        for _name, _init in (_inits | _faces).items()
    ),
]
