# Images of one's own, in COCO's format: optimised on some, reported on others.
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoFaceDataset',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            dict(type='LoadIntactImage'),
            dict(type='LoadAnnotations', with_bbox=True),
            # Boxes keep what lies beyond the crop: the patch sits on the whole object.
            dict(
                type='RandomFaceScaleCrop',
                crop_size=384,
                face_size=(16, 128),
                clip_boxes=False,
            ),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = None
val_evaluator = None
val_cfg = None
# The pipeline is the detector's, with the patch pasted on the original image.
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CocoFaceDataset', test_mode=True),
)
test_evaluator = dict(type='WiderFaceMetric')
train_cfg = dict(type='PatchAttackLoop', max_epochs=20)
