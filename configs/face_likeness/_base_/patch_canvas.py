# The patch alone on canvases without faces. Needs: pip install '.[embedded]'.
# tools/attack.py and tools/experiment.py take this file as --data.
test_pipeline = [
    dict(type='LoadImageFromNDArray'),
    dict(
        type='PastePatch',
        placement=dict(type='PatchPlacement', alpha=1.0, center='middle'),
    ),
    dict(type='Resize', scale_factor=1.0, keep_ratio=True),
    dict(
        type='PackDetInputs',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
            'instances',
            'patch_boxes',
            'background',
            'side',
        ),
    ),
]
train_dataloader = None
val_dataloader = None
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PatchCanvasDataset',
        size=256,
        sides=(12, 16, 24, 32, 48, 64, 96, 128),
        # In pixels from the middle: a network sees its grid at different offsets.
        shifts=((0, 0), (3, 1), (1, 6), (5, 4)),
        grey=127,
        photographs=(
            'rocket.jpg',
            'astronaut.png',
            'coffee.png',
            'motorcycle_left.png',
            'grass.png',
            'gravel.png',
            'brick.png',
        ),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = None
# The overlaps by which detections on a patch are counted elsewhere.
test_evaluator = dict(type='FaceLikenessMetric', patch_iou_thr=0.3, share=0.5)
custom_hooks = [dict(type='MetricTableHook')]
