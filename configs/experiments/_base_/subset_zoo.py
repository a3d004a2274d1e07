# Detectors and attacks that experiments on few images name.
data = 'subset'
# The paper merges the detections at several scales. Two: the third, 2.0, takes four
# fifths of the time.
pyramid = (0.5, 1.0)
# Training images that no attack optimises on; they show whether it has converged.
held_out = 24
detectors = dict(
    sln=dict(
        config='{{ fileDirname }}/../../sln_mbv2_widerface_subset.py',
        checkpoint='facepatch://sln_mbv2_widerface_subset',
    ),
    ssd=dict(
        config='{{ fileDirname }}/../../ssd_mbv2_widerface_subset.py',
        checkpoint='facepatch://ssd_mbv2_widerface_subset',
    ),
    retinanet=dict(
        config='{{ fileDirname }}/../../retinanet_mbv2_widerface_subset.py',
        checkpoint='facepatch://retinanet_mbv2_widerface_subset',
    ),
    faster_rcnn=dict(
        config='{{ fileDirname }}/../../faster_rcnn_mbv2_widerface_subset.py',
        checkpoint='facepatch://faster_rcnn_mbv2_widerface_subset',
    ),
    # Another backbone, from random weights.
    sln_r18w32=dict(
        config='{{ fileDirname }}/../../sln_r18w32_widerface_subset.py',
        checkpoint='facepatch://sln_r18w32_widerface_subset',
    ),
)
attacks = dict(
    patch_iou='{{ fileDirname }}/../../attack/patch_iou.py',
    patch_score='{{ fileDirname }}/../../attack/patch_score.py',
    patch_score_focal='{{ fileDirname }}/../../attack/patch_score_focal.py',
    patch_combination='{{ fileDirname }}/../../attack/patch_combination.py',
)
