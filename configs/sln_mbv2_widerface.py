# SLN with a MobileNetV2 on the whole of WIDER FACE.
_base_ = [
    '_base_/models/sln_mbv2.py',
    '_base_/datasets/widerface.py',
    '_base_/schedules/sgd_100e.py',
    '_base_/detector_runtime.py',
]

# One image a GPU, as with the ResNets: batch statistics would be those of one image.
model = dict(backbone=dict(norm_eval=True))
