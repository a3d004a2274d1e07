# python tools/attack.py configs/face_likeness/sln.py --report-only PATCH
# Another detector: --cfg-options model.detector.config=CONFIG
# model.detector.checkpoint=CHECKPOINT (None for a black box).
_base_ = ['_base_/evaluation.py']
model = dict(
    detector=dict(
        config='{{ fileDirname }}/../sln_mbv2_widerface_subset.py',
        checkpoint='facepatch://sln_mbv2_widerface_subset',
    )
)
work_dir = './work_dirs/face_likeness/sln'
