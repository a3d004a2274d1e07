# Transfer between frameworks, detectors trained on the whole of WIDER FACE.
_base_ = ['../experiments/_base_/widerface_zoo.py', '_base_/frameworks.py']
