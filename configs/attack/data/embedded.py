# The embedded data: real faces composited on photographs, built on first use
# from what scikit-image ships. Optimised on 'train', reported on 'val'.
data_root = 'data/embedded'

train_pipeline = [
    dict(type='LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    # Boxes keep what lies beyond the crop: the patch sits on the whole face.
    dict(type='RandomFaceScaleCrop', crop_size=384, face_size=(16, 128),
         clip_boxes=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                    'scale_factor', 'flip', 'flip_direction'))
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='EmbeddedFaceDataset', data_root=data_root, split='train',
                 pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    # The pipeline is the detector's, with the patch pasted on the original image.
    dataset=dict(type='EmbeddedFaceDataset', data_root=data_root, split='val',
                 test_mode=True))
# Validation during the attack.
val_dataloader = test_dataloader
val_cfg = dict(type='PatchValLoop')

# 240 steps.
train_cfg = dict(type='PatchAttackLoop', max_epochs=20, val_interval=10)

# At the paper's 0.99 the shipped SLN finds 61 % of these small, soft faces; at the
# calibrated delta, 90 %.
val_evaluator = dict(type='WiderFaceMetric', min_recall=0.9)
test_evaluator = val_evaluator
