custom_imports = dict(imports=['mmdet_facepatch'], allow_failed_imports=False)
default_scope = 'mmdet'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='SafeCheckpointHook', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='FaceVisualizationHook'),
    unreadable_images=dict(type='UnreadableImagesHook'),
    check_finite=dict(type='CheckFiniteHook', interval=1),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

# Or TensorboardVisBackend, WandbVisBackend: patch, losses and validation numbers.
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='FaceVisualizer', vis_backends=vis_backends, name='visualizer')
# Numbers on the line of a validation or test. JSON and vis_backends get all.
log_processor = dict(
    type='FaceLogProcessor',
    window_size=50,
    by_epoch=True,
    metrics=(
        'face/all/AP',
        'face/all/precision@calibrated',
        'face/all/recall@calibrated',
        'face/all/recall@0.5',
        'face/all/on_patch@calibrated',
    ),
)

randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False
