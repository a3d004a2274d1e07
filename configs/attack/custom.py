# Your own detector on your own images: copy this file to where you work, change
# what has a comment, and run tools/attack.py custom.py
_base_ = [
    'mmdet_facepatch::_base_/default_runtime.py',
    'mmdet_facepatch::_base_/attack/patch_attack.py',
    'mmdet_facepatch::_base_/attack/own_images.py',
]
model = dict(
    detector=dict(
        config='my_detector.py',  # an mmdet config, or mmdet::fcos/NAME.py
        checkpoint='my_detector.pth',  # the weights that were trained with it
    ),
    target='face',  # class that is attacked and judged, as data and detector name it
    sample_set=dict(type='PatchScoreSampleSet', score_thr=0.5),  # method: Patch-Score
)
images = dict(img='images/')  # folder of the image files
train_dataloader = dict(
    dataset=dict(ann_file='train.json', data_prefix=images)  # optimised on these
)
test_dataloader = dict(
    dataset=dict(ann_file='test.json', data_prefix=images)  # reported on these
)
