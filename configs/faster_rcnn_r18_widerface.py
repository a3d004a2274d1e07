# faster_rcnn with the data, schedule and test pyramid of SLN.
_base_ = [
    '_base_/models/faster_rcnn_r18.py',
    '_base_/datasets/widerface.py',
    '_base_/schedules/sgd_100e.py',
    '_base_/detector_runtime.py',
]
