# The whole of WIDER FACE: optimised on its training set, reported on its
# validation set, with the detector's training transform and full pyramid.
_base_ = 'widerface_subset.py'
meta_keys = {{_base_.meta_keys}}

train_pipeline = [
    dict(type='LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomStepResize', step=0.25, num_steps=8,
         clip_object_border=False),
    dict(type='FaceCrop', max_size=1200, clip_boxes=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                    'scale_factor', 'flip', 'flip_direction'))
]
test_pipeline = [
    dict(type='LoadIntactImage'),
    dict(type='PastePatch'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='Resize', scale_factor=0.25 * n, keep_ratio=True)
         for n in range(1, 9)],
        [dict(type='PackDetInputs', meta_keys=meta_keys)],
    ])
]
train_dataloader = dict(
    batch_size=1, num_workers=2,
    dataset=dict(image_list=None, pipeline=train_pipeline))
test_dataloader = dict(
    num_workers=2, dataset=dict(image_list=None, pipeline=test_pipeline))
val_dataloader = dict(
    num_workers=2, dataset=dict(image_list=None, indices=200))

# As the paper: 100 epochs. Long enough for smaller steps.
train_cfg = dict(max_epochs=100, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=0.02))
