# Transfer between frameworks, detectors trained on few images.
_base_ = ['../experiments/_base_/subset_zoo.py', '_base_/frameworks.py']
