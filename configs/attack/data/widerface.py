# The whole of WIDER FACE: optimised on its training set, reported on its
# validation set, with the detector's training transform. The paper evaluates at
# eight scales: --pyramid 0.25 0.5 0.75 1 1.25 1.5 1.75 2.
_base_ = 'widerface_subset.py'

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
train_dataloader = dict(
    batch_size=1, num_workers=2,
    dataset=dict(image_list=None, pipeline=train_pipeline))
test_dataloader = dict(
    num_workers=2, dataset=dict(image_list=None))
val_dataloader = dict(
    num_workers=2, dataset=dict(image_list=None, indices=200))

# As the paper: 100 epochs. Long enough for smaller steps.
train_cfg = dict(max_epochs=100, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=0.02))
