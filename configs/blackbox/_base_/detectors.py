# The black boxes. An experiment adds them to its detectors.
black_boxes = dict(
    centerface=dict(config='{{ fileDirname }}/../centerface.py', checkpoint=None),
    yunet=dict(config='{{ fileDirname }}/../yunet.py', checkpoint=None),
    mtcnn=dict(config='{{ fileDirname }}/../mtcnn.py', checkpoint=None),
)
