"""The converter of CenterFace's MobileNetV2."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule

from mmdet_facepatch.models.backbones import HeadlessMobileNetV2
from mmdet_facepatch.models.detectors.centerface import CenterFace

PATH = Path(__file__).resolve().parents[1] / 'tools/model_converters/centerface.py'
STAGES = (1, 2, 4, 6)
# Outputs of the file behind the last block of each stage.
NODES = ('387', '413', '474', '507')


@pytest.fixture(scope='module')
def converter():
    spec = importlib.util.spec_from_file_location('centerface_converter', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def normalised(converter, image):
    mean, std = (
        torch.tensor(values)[:, None, None].to(image.dtype)
        for values in (converter.MEAN, converter.STD)
    )
    return (image - mean) / std


@pytest.fixture
def file(converter, monkeypatch):
    """A file of random convolutions, the neck's among them."""
    torch.manual_seed(0)
    shapes = [
        (key, value.shape)
        for key, value in HeadlessMobileNetV2(out_indices=STAGES).state_dict().items()
        if key.endswith('conv.weight')
    ]
    found = [
        (torch.randn(shape) / shape[1:].numel() ** 0.5, torch.randn(shape[0]))
        for _, shape in [*shapes, ('neck', torch.Size((24, 320, 1, 1)))]
    ]
    monkeypatch.setattr(converter, 'convolutions', lambda content: iter(found))
    return found


def test_normalisation_moves_into_the_first_convolution(converter):
    """On unnormalised pixels the file's convolution, but for the border."""
    torch.manual_seed(0)
    weight, bias = torch.randn(8, 3, 3, 3), torch.randn(8)
    image = 255 * torch.rand(1, 3, 11, 13, dtype=torch.float64)
    own, shift = converter.fold_normalization(weight.double(), bias.double())
    expected = F.conv2d(image, weight.double(), bias.double(), padding=1)
    found = F.conv2d(normalised(converter, image), own, shift, padding=1)
    torch.testing.assert_close(
        found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], rtol=1e-9, atol=1e-9
    )
    # There the file pads with black, and this with the mean.
    padded = torch.empty(1, 3, 13, 15, dtype=image.dtype)
    padded.copy_(torch.tensor(converter.MEAN)[:, None, None])
    padded[..., 1:-1, 1:-1] = image
    expected = F.conv2d(padded, weight.double(), bias.double())
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_every_convolution_with_its_bias(converter, file):
    backbone = HeadlessMobileNetV2(out_indices=STAGES).eval()
    backbone.load_state_dict(converter.convert(b''))
    layers = [part for part in backbone.modules() if isinstance(part, ConvModule)]
    # All but the neck's, in the order in which the network has them.
    assert len(layers) == len(file) - 1
    for number, (layer, (weight, bias)) in enumerate(zip(layers, file, strict=False)):
        if number == 0:
            weight, bias = converter.fold_normalization(weight, bias)
        groups, side = layer.conv.groups, max(weight.shape[2:])
        x = torch.randn(2, weight.shape[1] * groups, side, side)
        torch.testing.assert_close(
            layer.norm(F.conv2d(x, layer.conv.weight, groups=groups)),
            F.conv2d(x, weight, bias, groups=groups),
            rtol=1e-4,
            atol=1e-4,
        )


def test_other_networks(converter, file, monkeypatch):
    file[5] = (torch.zeros(1, 2, 3, 3), torch.zeros(1))
    with pytest.raises(ValueError, match=r'convolution 5 .* \(1, 2, 3, 3\), but layer'):
        converter.convert(b'')
    monkeypatch.setattr(converter, 'convolutions', lambda content: iter(file[:5]))
    with pytest.raises(ValueError, match='has 5 convolutions, and the MobileNetV2'):
        converter.convert(b'')


def test_features_are_opencv_s(converter):
    """Those of the package's file, with its black border around the image."""
    pytest.importorskip('onnx')
    try:
        content = CenterFace.source.read()
    except ImportError as error:
        pytest.skip(str(error))
    backbone = HeadlessMobileNetV2(out_indices=STAGES, act_cfg=dict(type='ReLU'))
    backbone.load_state_dict(converter.convert(content))
    backbone.conv1.conv.padding = (0, 0)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (224, 160), interpolation=cv2.INTER_CUBIC)
    pixels = torch.tensor(image).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        found = backbone.eval()(normalised(converter, F.pad(pixels, (1, 1, 1, 1))))
    network = cv2.dnn.readNetFromONNX(np.frombuffer(content, dtype=np.uint8))
    for own, node in zip(found, NODES, strict=True):
        (name,) = [x for x in network.getLayerNames() if x.endswith(node)]
        network.setInput(pixels.numpy())
        expected = torch.tensor(network.forward(name))
        assert expected.std() > 0.1
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=2e-4)
