"""mmdet's inferencer with the package's detectors, and FaceInferencer."""

from __future__ import annotations

import warnings

import mmcv
import mmdet
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.registry import TRANSFORMS as MMDET_TRANSFORMS
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmengine.utils import digit_version
from PIL import Image
from skimage import data

from mmdet_facepatch import registry, zoo
from mmdet_facepatch.apis import FaceInferencer
from mmdet_facepatch.datasets import LoadIntactImage
from mmdet_facepatch.models import SLN

OF_3_3 = digit_version(mmdet.__version__) < digit_version('3.4')
REASON = "mmdet 3.3's own inferencer does not look past the scope of a loader"

NAME = 'sln_mbv2_widerface_subset'
WEIGHTS = f'{zoo.SCHEME}{NAME}'
# The one large face of scikit-image's astronaut, as xyxy.
FACE = np.array([178, 59, 268, 178])
QUIET = dict(device='cpu', show_progress=False)


@pytest.fixture(scope='module')
def photo() -> np.ndarray:
    """(512, 512, 3) uint8 BGR."""
    return np.ascontiguousarray(data.astronaut()[..., ::-1])


@pytest.fixture(scope='module')
def stock() -> DetInferencer:
    if OF_3_3:
        pytest.skip(REASON)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        inferencer = DetInferencer(str(zoo.config_path(NAME)), WEIGHTS, **QUIET)
    said = [str(warning.message) for warning in caught]
    assert not [text for text in said if 'COCO' in text or 'palette' in text]
    return inferencer


@pytest.fixture(scope='module')
def faces() -> FaceInferencer:
    return FaceInferencer(**QUIET)


def best(result: dict, image: int = 0) -> np.ndarray:
    """Box of the highest score."""
    found = result['predictions'][image]
    return np.array(found['bboxes'][int(np.argmax(found['scores']))])


class TestScope:
    @pytest.fixture(autouse=True)
    def package_scope(self):
        init_default_scope(registry.SCOPE)

    def test_modules_of_both_are_found(self):
        with ROOT_MODELS.switch_scope_and_registry(None) as found:
            assert found is registry.MODELS
            assert found.get('SLN') is SLN
            assert found.get('FasterRCNN').__module__.startswith('mmdet.')
        assert MMDET_TRANSFORMS.get(f'{registry.SCOPE}.LoadIntactImage') is (
            LoadIntactImage
        )

    def test_loader_has_a_name_of_its_own(self):
        for registered in (ROOT_TRANSFORMS, MMDET_TRANSFORMS, registry.TRANSFORMS):
            assert registered.get('facepatch.LoadImageFromFile') is LoadIntactImage
            plain = registered.get('LoadImageFromFile')
            assert plain is mmcv.transforms.LoadImageFromFile

    def test_every_registry_of_mmdet_has_one_below(self):
        from mmdet import registry as mmdet_registry

        names = [name for name in vars(mmdet_registry) if name.isupper()]
        ours = [name for name in names if not name.startswith('MMENGINE_')]
        assert len(ours) > 15
        for name in ours:
            below = getattr(registry, name)
            assert below.parent is getattr(mmdet_registry, name)
            assert below.scope == registry.SCOPE


@pytest.mark.skipif(OF_3_3, reason=REASON)
class TestStock:
    """mmdet's own, without a hint."""

    def test_path_and_array(self, stock, photo, tmp_path):
        path = str(tmp_path / 'photo.png')
        mmcv.imwrite(photo, path)
        one = stock(path, out_dir=str(tmp_path / 'out'))
        two = stock(photo)
        assert one['predictions'] == two['predictions']
        np.testing.assert_allclose(best(one), FACE, atol=6)
        drawn = mmcv.imread(str(tmp_path / 'out' / 'vis' / 'photo.png'))
        changed = (drawn != photo).any(axis=-1)
        assert drawn.shape == photo.shape
        left, top, right, bottom = FACE
        # The box is drawn, and the face in it is as it was.
        assert changed[top + 20 : bottom, left - 2 : left + 3].any(axis=1).all()
        assert not changed[top + 40 : bottom - 20, left + 20 : right - 20].any()

    def test_it_knows_faces(self, stock):
        meta = stock.visualizer.dataset_meta
        assert tuple(meta['classes']) == ('face',)
        assert meta['palette'] == [(0, 0, 255)]

    def test_photograph_of_a_rotated_camera(self, photo, tmp_path):
        """Detected and drawn the same way up, in the package's scope as well."""
        path = str(tmp_path / 'rotated.png')
        exif = Image.Exif()
        exif[0x0112] = 6  # to be shown turned to the right
        cut = photo[:, :400]
        turned = np.rot90(cut, 1)[..., ::-1]
        Image.fromarray(np.ascontiguousarray(turned)).save(path, exif=exif)
        inferencer = DetInferencer(
            str(zoo.config_path(NAME)), WEIGHTS, scope=registry.SCOPE, **QUIET
        )
        found = inferencer(path, return_vis=True)
        (drawn,) = found['visualization']
        assert drawn.shape == cut.shape
        np.testing.assert_allclose(best(found), FACE, atol=6)

    def test_real_photograph(self, stock, faces, widerface_root):
        (path, *_) = sorted((widerface_root / 'WIDER_val' / 'images').rglob('*.jpg'))
        found = stock(str(path))['predictions'][0]
        assert max(found['scores']) > 0.3 and set(found['labels']) == {0}
        assert faces(str(path))['predictions'][0] == found

    def test_functions_of_mmdet(self, stock, photo):
        model = init_detector(str(zoo.config_path(NAME)), WEIGHTS, device='cpu')
        assert tuple(model.dataset_meta['classes']) == ('face',)
        found = inference_detector(model, photo).pred_instances
        expected = stock(photo)['predictions'][0]
        assert found.scores.tolist() == expected['scores']


class TestFaceInferencer:
    def test_is_the_published_detector(self, faces, stock, photo):
        assert faces(photo)['predictions'] == stock(photo)['predictions']

    def test_weights_follow_from_the_config(self, photo, faces):
        model = Config.fromfile(zoo.config_path(NAME))
        for given in (dict(model=str(zoo.config_path(NAME))), dict(model=NAME)):
            again = FaceInferencer(**given, **QUIET)
            for one, two in zip(
                again.model.parameters(), faces.model.parameters(), strict=True
            ):
                assert torch.equal(one, two)
        with pytest.raises(ValueError, match='has no weights yet'):
            FaceInferencer(model, **QUIET)

    def test_unknown_name(self):
        with pytest.raises(FileNotFoundError, match=f'no such weights.*{NAME}'):
            FaceInferencer('sln_mbv3', **QUIET)
        with pytest.raises(ValueError, match="target 'Face': .* did you mean 'face'"):
            FaceInferencer(NAME, target='Face', **QUIET)

    def test_colours_of_arrays(self, faces, photo):
        (drawn,) = faces(photo, return_vis=True, draw_pred=False)['visualization']
        np.testing.assert_array_equal(drawn, photo[..., ::-1])

    def test_only_faces(self, faces, photo, monkeypatch):
        """Of a detector of several classes."""
        everything = InstanceData(
            bboxes=torch.arange(12.0).view(3, 4),
            scores=torch.tensor([0.9, 0.8, 0.7]),
            labels=torch.tensor([1, 0, 2]),
        )

        def detect(self, inputs, **kwargs):
            from mmdet.structures import DetDataSample

            return [DetDataSample(pred_instances=everything)]

        monkeypatch.setattr(DetInferencer, 'forward', detect)
        (found,) = faces(photo)['predictions']
        assert found == dict(
            labels=[0], scores=[pytest.approx(0.8)], bboxes=[[4, 5, 6, 7]]
        )
        monkeypatch.setattr(faces, 'labels', (2,))
        assert faces(photo)['predictions'][0]['bboxes'] == [[8, 9, 10, 11]]

    def test_black_box_brings_its_weights(self, photo):
        config = zoo.config_path(NAME).parent / 'blackbox' / 'yunet.py'
        try:
            inferencer = FaceInferencer(str(config), **QUIET)
        except ImportError as error:
            pytest.skip(str(error))
        np.testing.assert_allclose(best(inferencer(photo)), FACE, atol=15)
