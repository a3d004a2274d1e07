# Transfer to real detectors, trained by others on the whole of WIDER FACE, of which
# nothing but the answers is used. First the detector that the patches are made on.
_base_ = [
    '../experiments/_base_/subset_zoo.py',
    '../experiments/_base_/inits.py',
    '../blackbox/_base_/detectors.py',
]
title = 'Transfer to black boxes'
detectors = {{_base_.black_boxes}}
matrix = dict(
    detectors=['sln', 'centerface', 'yunet', 'mtcnn'],
    patches={
        'clean': dict(),
        'grey': dict(patch=dict(type='constant', value=0.5)),
        'noise': dict(patch=dict(type='noise', seed=0)),
        'coffee': dict(patch={{_base_.inits.coffee}}),
        'face A': dict(patch={{_base_.inits.face_a}}),
        'patch_iou of sln': dict(attack=dict(method='patch_iou', detector='sln')),
        'patch_combination of sln': dict(
            attack=dict(method='patch_combination', detector='sln')
        ),
    },
)
