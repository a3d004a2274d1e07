_base_ = ['_base_/evaluation.py']
model = dict(
    detector=dict(config='{{ fileDirname }}/../blackbox/yunet.py', checkpoint=None)
)
work_dir = './work_dirs/face_likeness/yunet'
