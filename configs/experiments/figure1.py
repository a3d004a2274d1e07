# Figure 1: what patches do, in pictures. Those of the package, optimised on faces of
# WIDER FACE, on people of the embedded data, which can be shown.
_base_ = '_base_/subset_zoo.py'
data = 'embedded'
pyramid = (0.5, 1.0, 2.0)
title = 'Figure 1: patches and their effect'
figure = 'pictures'
_patches = '{{ fileDirname }}/../../mmdet_facepatch/zoo/patches'
_face = dict(
    type='face',
    img_id='0--Composite/0_Composite_Composite_0_17',
    face=0,
    dataset=dict(
        type='EmbeddedFaceDataset',
        data_root='data/embedded',
        split='val',
        test_mode=True,
    ),
)
entries = [
    dict(name='clean'),
    dict(name='noise', patch=dict(type='noise', seed=0)),
    dict(name='a face', patch=_face),
    *(
        dict(
            name=_name,
            patch=dict(type='file', path=f'{_patches}/sln_{_method}_seed_0.png'),
        )
        for _name, _method in (
            ('Patch-IoU', 'patch_iou'),
            ('Patch-Score-Focal', 'patch_score_focal'),
            ('Patch-Combination', 'patch_combination'),
        )
    ),
]
