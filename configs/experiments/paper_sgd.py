# The paper's optimiser, which is that of its detectors: SGD with steps of 0.01, a tenth
# after 60 and 80 % of the epochs; beside ours, Adam with a cosine decay.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = "Patch-IoU by the paper's SGD"
figure = 'evolution'
_sgd = {
    'optim_wrapper.optimizer': dict(
        type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-5
    ),
    # Of 12 epochs.
    'param_scheduler': [
        dict(type='MultiStepLR', by_epoch=True, milestones=[7, 10], gamma=0.1)
    ],
}
entries = [
    dict(name='clean'),
    dict(name='noise', patch={{_base_.inits.noise}}),
    dict(name='Adam', attack=dict(method='patch_iou')),
    dict(name='SGD', attack=dict(method='patch_iou', options=_sgd)),
]
