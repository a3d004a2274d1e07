# SLN with a ResNet-18 on the whole of WIDER FACE: the paper's baseline.
# The paper's batch is 8 images, one on each of 8 GPUs. On one GPU:
#   --cfg-options train_dataloader.batch_size=8
_base_ = [
    '_base_/models/sln_r18.py',
    '_base_/datasets/widerface.py',
    '_base_/schedules/sgd_100e.py',
    '_base_/detector_runtime.py',
]
