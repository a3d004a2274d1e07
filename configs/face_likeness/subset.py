# Is a patch taken for a face? Detectors trained on few images, and black boxes, on
# the patch alone. Optimised patches are named on the command line:
# tools/face_likeness.py CONFIG --patches NAME=FILE ...
_base_ = [
    '../experiments/_base_/subset_zoo.py',
    '../experiments/_base_/inits.py',
    '../blackbox/_base_/detectors.py',
]
title = 'Is the patch taken for a face?'
detectors = {{_base_.black_boxes}}

# What is not optimised: three that are no faces, and one that is.
patches = {
    'grey': dict(type='constant', value=0.5),
    'noise': dict(type='noise', seed=0),
    'coffee': {{_base_.inits.coffee}},
    'face A': {{_base_.inits.face_a}},
}
scenes = dict(
    size=256,
    sides=(12, 16, 24, 32, 48, 64, 96, 128),
    # In pixels from the middle: a network sees its grid at different places.
    shifts=((0, 0), (3, 1), (1, 6), (5, 4)),
    grey=127,
    # Without faces, from scikit-image.
    photographs=('rocket.jpg', 'astronaut.png', 'coffee.png', 'motorcycle_left.png',
                 'grass.png', 'gravel.png', 'brick.png'))
# Least IoU of a detection with the patch, or share of its area on it, as for
# detections on a patch elsewhere.
iou_thr = 0.3
share = 0.5
