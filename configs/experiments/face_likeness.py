# Maximum face score on the patch: which detectors detect which patch alone as a face?
_base_ = [
    '_base_/subset_zoo.py',
    '_base_/inits.py',
    '../blackbox/_base_/detectors.py',
]
title = 'Maximum face score on the patch'
data = '{{ fileDirname }}/../face_likeness/_base_/patch_canvas.py'
detectors = {{_base_.black_boxes}}
# Nothing is optimised: evaluations inherit from this config.
attacks = dict(_delete_=True, patch_canvas='{{ fileDirname }}/../face_likeness/sln.py')
held_out = 0
# The canvas is shown as it is.
pyramid = None
_patches = '{{ fileDirname }}/../../mmdet_facepatch/zoo/patches'
matrix = dict(
    number='likeness/grey',
    label='maximum face score on the patch, on grey, at the side where it is highest',
    detectors=[
        'sln',
        'ssd',
        'retinanet',
        'faster_rcnn',
        'sln_r18w32',
        'centerface',
        'yunet',
        'mtcnn',
    ],
    patches={
        # Three that are no faces, and one that is.
        'grey': dict(patch=dict(type='constant', value=0.5)),
        'noise': dict(patch=dict(type='noise', seed=0)),
        'coffee': dict(patch={{_base_.inits.coffee}}),
        'face A': dict(patch={{_base_.inits.face_a}}),
        **{
            _name: dict(patch=dict(type='file', path=f'{_patches}/{_file}.png'))
            for _name, _file in {
                'Patch-IoU of SLN': 'sln_patch_iou_seed_0',
                'Patch-IoU of SLN, seed 1': 'sln_patch_iou_seed_1',
                'Patch-IoU of SLN, seed 2': 'sln_patch_iou_seed_2',
                'Patch-IoU of SLN, half 1': 'sln_patch_iou_half_1',
                'Patch-IoU of SLN, half 2': 'sln_patch_iou_half_2',
                'Patch-Score of SLN': 'sln_patch_score_seed_0',
                'Patch-Score-Focal of SLN': 'sln_patch_score_focal_seed_0',
                'Patch-Combination of SLN': 'sln_patch_combination_seed_0',
                'Patch-IoU of SSD': 'ssd_patch_iou_seed_0',
                'Patch-IoU of RetinaNet': 'retinanet_patch_iou_seed_0',
                'Patch-IoU of Faster R-CNN': 'faster_rcnn_patch_iou_seed_0',
                'Patch-IoU of the ResNet-18 SLN': 'sln_r18w32_patch_iou_seed_0',
            }.items()
        },
    },
)
