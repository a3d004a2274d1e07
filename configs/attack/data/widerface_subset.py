# Optimised on train_subset.txt, reported on val_subset.txt of data/WIDERFace.
_base_ = 'embedded.py'
data_root = 'data/WIDERFace/'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='WiderFaceDataset',
        data_root=data_root,
        ann_file='wider_face_split/wider_face_train_bbx_gt.txt',
        data_prefix=dict(img='WIDER_train/images/'),
        subset_file='train_subset.txt',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline={{_base_.train_pipeline}}))
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='WiderFaceDataset',
        data_root=data_root,
        ann_file='wider_face_split/wider_face_val_bbx_gt.txt',
        data_prefix=dict(img='WIDER_val/images/'),
        subset_file='val_subset.txt',
        test_mode=True,
        pipeline={{_base_.test_pipeline}}))
val_dataloader = test_dataloader

val_evaluator = dict(subset_dir=data_root + 'eval_tools/ground_truth')
test_evaluator = val_evaluator
