# Faster R-CNN with its proposal network attacked as well, which is an SLN: the paper
# does not say which scores its Patch-IoU takes there. On Faster R-CNN and on SLN.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = "Patch-IoU of Faster R-CNN, with and without its proposal network's scores"
_reader = {'model.reader': dict(type='TwoStageCandidateReader', with_rpn=True)}
_attack = dict(method='patch_iou', detector='faster_rcnn')
matrix = dict(
    detectors=['faster_rcnn', 'sln'],
    patches={
        'clean': dict(),
        'noise': dict(patch={{_base_.inits.noise}}),
        'refined scores': dict(attack=_attack),
        'both scores': dict(attack=dict(_attack, options=_reader)),
    },
)
