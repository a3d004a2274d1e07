# MTCNN: python -m pip install --no-deps facenet-pytorch==2.6.0
_base_ = '_base_/evaluation.py'
model = dict(
    type='MTCNN',
    data_preprocessor=dict(type='DetDataPreprocessor', bgr_to_rgb=True),
    test_cfg=dict(
        # The window of P-Net: without enlarging the image nothing smaller is found.
        min_face_size=12,
        factor=0.709,
        stage_thr=(0.6, 0.7),
        stage_nms=(0.5, 0.7, 0.7),
        # Low, for whole curves; the package reports from 0.7 on.
        score_thr=0.01,
        nms=0.7,
    ),
)
