# Detectors of the paper, trained on the whole of WIDER FACE by their configs.
data = 'widerface'
# The paper's scales.
pyramid = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
held_out = 200
detectors = dict(
    sln=dict(
        config='{{ fileDirname }}/../../sln_r18_widerface.py',
        checkpoint='work_dirs/sln_r18_widerface/epoch_100.pth',
    ),
    ssd=dict(
        config='{{ fileDirname }}/../../ssd_r18_widerface.py',
        checkpoint='work_dirs/ssd_r18_widerface/epoch_100.pth',
    ),
    retinanet=dict(
        config='{{ fileDirname }}/../../retinanet_r18_widerface.py',
        checkpoint='work_dirs/retinanet_r18_widerface/epoch_100.pth',
    ),
    faster_rcnn=dict(
        config='{{ fileDirname }}/../../faster_rcnn_r18_widerface.py',
        checkpoint='work_dirs/faster_rcnn_r18_widerface/epoch_100.pth',
    ),
    sln_r50=dict(
        config='{{ fileDirname }}/../../sln_r50_widerface.py',
        checkpoint='work_dirs/sln_r50_widerface/epoch_100.pth',
    ),
    sln_r101=dict(
        config='{{ fileDirname }}/../../sln_r101_widerface.py',
        checkpoint='work_dirs/sln_r101_widerface/epoch_100.pth',
    ),
    sln_x101=dict(
        config='{{ fileDirname }}/../../sln_x101_widerface.py',
        checkpoint='work_dirs/sln_x101_widerface/epoch_100.pth',
    ),
)
attacks = dict(
    patch_iou='{{ fileDirname }}/../../attack/patch_iou.py',
    patch_score='{{ fileDirname }}/../../attack/patch_score.py',
    patch_score_focal='{{ fileDirname }}/../../attack/patch_score_focal.py',
    patch_combination='{{ fileDirname }}/../../attack/patch_combination.py',
)
