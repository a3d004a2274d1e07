"""attack() and evaluate() on arrays, COCO files and configs."""

import copy
import doctest
import importlib
import json
import shutil

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from PIL import Image
from torch import nn

from mmdet_facepatch.apis import Evaluations, attack, evaluate
from mmdet_facepatch.apis.images import image_config, save_images
from mmdet_facepatch.apis.runs import method_config, run_config
from mmdet_facepatch.attack import detector_digest, load_patch, save_patch
from mmdet_facepatch.engine import WorkDirError

FACES = [[[8, 8, 40, 48], [60, 20, 84, 46]], [[30, 30, 62, 66]]]
QUIET = dict(log_level='ERROR')
# Images of 96 pixels, not 384, and few bootstrap replicates.
FAST = {
    'train_dataloader.dataset.pipeline.2.crop_size': 96,
    'train_dataloader.batch_size': 1,
    'model.patch.size': (12, 12),
}


def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(2)]


def build(config, num_classes=1):
    torch.manual_seed(0)
    config = copy.deepcopy(config)
    config['bbox_head']['num_classes'] = num_classes
    detector = MODELS.build(config)
    nn.init.normal_(detector.bbox_head.conv_cls.weight, std=0.5)
    return detector


@pytest.fixture
def detector(tiny_sln_config):
    return build(tiny_sln_config)


def run_attack(detector, work_dir, **kwargs):
    options = dict(method='patch_iou', epochs=2, options=FAST, **QUIET)
    images = kwargs.pop('images', None) or pictures()
    boxes = kwargs.pop('boxes', FACES)
    return attack(detector, images, boxes, work_dir=work_dir, **{**options, **kwargs})


def numbers(evaluation):
    """As text, in which NaN equals NaN."""
    return json.dumps(dict(evaluation.numbers))


def run_evaluation(detector, images, boxes=None, patches=None, **kwargs):
    return evaluate(detector, images, boxes, patches, scales=[1], **QUIET, **kwargs)


class TestAttack:
    def test_result(self, detector, tmp_path):
        result = run_attack(detector, tmp_path)
        start = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0))
        assert result.patch.shape == (3, 12, 12) and not result.patch.requires_grad
        assert not torch.equal(result.patch, start)
        assert torch.equal(result.patch, load_patch(tmp_path / 'patch.npy'))
        assert [e['steps'] for e in result.history['epochs']] == [2, 2]
        assert result.history['seed'] == 0 and result.work_dir == tmp_path
        assert result.objective == [e['objective'] for e in result.history['epochs']]
        # A mean of -log S.
        assert all(0 < objective < 10 for objective in result.objective)
        assert '12 x 12 patch, 2 epochs' in repr(result)

    def test_detector_and_random_state_are_left_alone(self, detector, tmp_path):
        detector.train()
        digest = detector_digest(detector)
        states = torch.get_rng_state(), np.random.get_state()[1].copy()
        run_attack(detector, tmp_path, epochs=1)
        assert detector_digest(detector) == digest
        assert all(parameter.requires_grad for parameter in detector.parameters())
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.array_equal(np.random.get_state()[1], states[1])

    @pytest.mark.slow
    def test_seed(self, detector, tmp_path):
        first, again, other = (
            run_attack(detector, tmp_path / name, seed=seed, epochs=1).patch
            for name, seed in (('a', 1), ('b', 1), ('c', 2))
        )
        assert torch.equal(first, again) and not torch.equal(first, other)

    @pytest.mark.slow
    def test_resumed_with_random_transforms(self, detector, tmp_path):
        """Bit for bit what the uninterrupted attack finds."""
        slot = [
            dict(type='PatchColorJitter'),
            dict(type='PatchNoise'),
            dict(type='PatchPerspective'),
        ]
        whole = run_attack(detector, tmp_path / 'whole', patch_transforms=slot)
        plain = run_attack(detector, tmp_path / 'plain')
        assert not torch.equal(whole.patch, plain.patch)
        part = tmp_path / 'part'
        part.mkdir()
        shutil.copy(tmp_path / 'whole' / 'epoch_1.pth', part)
        resumed = run_attack(detector, part, patch_transforms=slot, resume=True)
        assert torch.equal(whole.patch, resumed.patch)
        assert resumed.objective == whole.objective

    def test_ensemble_and_own_sample_set(self, detector, tiny_sln_config, tmp_path):
        other = build(tiny_sln_config)
        with torch.no_grad():
            other.bbox_head.conv_cls.bias.add_(0.1)
        result = run_attack(
            [detector, other],
            tmp_path,
            method=dict(type='PatchScoreSampleSet', score_thr=0.2),
            placement=dict(alpha=0.4),
            patch=dict(init=dict(type='constant', value=0.25)),
            epochs=1,
        )
        cfg = Config.fromfile(next(tmp_path.glob('*/vis_data/config.py')))
        assert [d['module'] for d in cfg.model.detector] == ['SLN', 'SLN']
        assert cfg.model.detector[0] != cfg.model.detector[1]
        assert cfg.model.sample_set == dict(type='PatchScoreSampleSet', score_thr=0.2)
        assert cfg.model.placement == dict(
            type='PatchPlacement', alpha=0.4, center='top'
        )
        assert cfg.model.patch.init == dict(type='constant', value=0.25)
        assert 0 < (result.patch - 0.25).abs().max() < 0.1

    @pytest.mark.slow
    def test_results_of_another_run_are_kept(self, detector, tmp_path):
        run_attack(detector, tmp_path, epochs=1)
        with pytest.raises(WorkDirError, match='holds results of another config'):
            run_attack(detector, tmp_path, epochs=1, seed=1)
        run_attack(detector, tmp_path, epochs=1, seed=1, overwrite=True)


class TestEvaluate:
    def test_conditions(self, detector, tmp_path):
        images, grey = pictures(), torch.full((3, 8, 8), 0.5)
        found = run_evaluation(
            detector,
            images,
            FACES,
            dict(
                tensor=grey,
                array=grey.numpy(),
                start=dict(type='constant', value=0.5, size=8),
            ),
        )
        assert isinstance(found, Evaluations) and len(found) == 4
        assert list(found) == ['clean', 'tensor', 'array', 'start']
        assert numbers(found['tensor']) == numbers(found['array'])
        assert numbers(found['tensor']) == numbers(found['start'])
        assert numbers(found['tensor']) != numbers(found['clean'])
        assert found['clean'].numbers['all/num_faces'] == 3
        assert found['clean'].img_ids == ('000000', '000001')
        for line in ('clean', 'tensor', 'AF_beta', 'target: face', 'view: '):
            assert line in str(found)

    @pytest.mark.slow
    def test_with_a_work_dir_it_reports(self, detector, tmp_path):
        patches = dict(noise=dict(type='noise', seed=1))
        kept = run_evaluation(
            detector, pictures(), FACES, patches, work_dir=tmp_path / 'kept'
        )
        report = json.loads((tmp_path / 'kept' / 'report.json').read_text())
        assert list(report['conditions']) == ['clean', 'noise']
        assert len(list((tmp_path / 'kept' / 'pictures').glob('*.png'))) == 2
        bare = run_evaluation(detector, pictures(), FACES, patches)
        assert numbers(bare['noise']) == numbers(kept['noise'])

    @pytest.mark.slow
    def test_coco_file_and_arrays_are_the_same(self, detector, tmp_path):
        arrays = run_evaluation(detector, pictures(), FACES)['clean']
        rgb = [image[..., ::-1] for image in pictures()]
        other = run_evaluation(detector, rgb, FACES, channel_order='rgb')['clean']
        folder = write_coco(tmp_path, extra=True)
        target = dict(data='face', detector=0)
        coco = run_evaluation(detector, folder, folder / 'coco.json', target=target)[
            'clean'
        ]
        dataset = run_evaluation(
            detector,
            dict(
                type='CocoFaceDataset',
                ann_file=str(folder / 'coco.json'),
                data_prefix=dict(img=str(folder)),
            ),
            target='face',
        )['clean']
        floats = [image / 255 for image in pictures()]
        scaled = run_evaluation(detector, floats, FACES)['clean']
        same = [numbers(found) for found in (arrays, other, coco, dataset, scaled)]
        assert len(set(same)) == 1
        assert coco.img_ids == ('sub/0', 'sub/1')

    def test_config_with_dataloaders(self, detector, tmp_path):
        saved = save_images(pictures(), FACES, tmp_path)
        cfg = image_config(str(saved), saved / 'annotations.json', tmp_path, 'test')
        arrays = run_evaluation(detector, pictures(), FACES)
        config = run_evaluation(detector, cfg)
        assert numbers(arrays['clean']) == numbers(config['clean'])
        with pytest.raises(ValueError, match='no train_dataloader'):
            attack(detector, dict(test_dataloader=cfg.test_dataloader), **QUIET)


def write_coco(root, extra):
    """Faces of class 7 and, if wanted, one box of another class."""
    folder = root / 'coco'
    (folder / 'sub').mkdir(parents=True)
    images, annotations = [], []
    for i, (image, boxes) in enumerate(zip(pictures(), FACES)):
        Image.fromarray(image[..., ::-1]).save(folder / 'sub' / f'{i}.png')
        images.append(dict(id=i + 5, file_name=f'sub/{i}.png', height=96, width=96))
        for x1, y1, x2, y2 in boxes:
            annotations.append(
                dict(image_id=i + 5, category_id=7, bbox=[x1, y1, x2 - x1, y2 - y1])
            )
    categories = [dict(id=7, name='face')]
    if extra:
        categories.append(dict(id=2, name='dog'))
        annotations.append(dict(image_id=5, category_id=2, bbox=[0, 0, 20, 20]))
    for i, annotation in enumerate(annotations):
        annotation.update(id=i + 1, area=100, iscrowd=0)
    (folder / 'coco.json').write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=categories))
    )
    return folder


class TestClassOfTheFaces:
    def test_category_of_several(self, detector, tmp_path):
        folder = write_coco(tmp_path, extra=True)
        message = r"test_dataloader has 2 classes \('face', 'dog'\): say which"
        with pytest.raises(ValueError, match=message):
            run_evaluation(detector, folder, folder / 'coco.json')
        with pytest.raises(ValueError, match="target 'Faces': .*did you mean 'face'"):
            run_evaluation(detector, folder, folder / 'coco.json', target='Faces')

    @pytest.mark.slow
    def test_class_of_the_detector(self, tiny_sln_config, tmp_path):
        """Class 1 of three, and no other, is attacked and evaluated."""
        detector = build(tiny_sln_config, 3)
        for call in (
            lambda: run_evaluation(detector, pictures(), FACES),
            lambda: run_attack(detector, tmp_path / 'none'),
        ):
            with pytest.raises(ValueError, match='SLN has 3 classes: say which'):
                call()
        targets = [dict(data='face', detector=label) for label in (0, 1, 3)]
        with pytest.raises(ValueError, match='target 3: the detector SLN has 3'):
            run_evaluation(detector, pictures(), FACES, target=targets[2])
        with pytest.raises(ValueError, match='names of the 3 classes .* not known'):
            run_evaluation(detector, pictures(), FACES, target='face')
        detector.dataset_meta = dict(classes=('face', 'hand', 'foot'))
        found = [
            run_evaluation(detector, pictures(), FACES, target=target)['clean']
            for target in ('face', 'hand')
        ]
        again = run_evaluation(detector, pictures(), FACES, target=targets[1])['clean']
        assert numbers(found[1]) == numbers(again)
        assert numbers(found[0]) != numbers(found[1])
        assert all(one.numbers['all/num_faces'] == 3 for one in found)
        patches = [
            run_attack(detector, tmp_path / target, epochs=1, target=target).patch
            for target in ('face', 'hand')
        ]
        assert not torch.equal(*patches)

    def test_class_of_a_data_set(self, detector, tmp_path):
        folder = write_coco(tmp_path, extra=True)
        dataset = dict(
            type='CocoDataset',
            ann_file=str(folder / 'coco.json'),
            data_prefix=dict(img=str(folder)),
            metainfo=dict(classes=('dog', 'face')),
        )
        with pytest.raises(ValueError, match='lists face, dog.* in the order of the f'):
            run_evaluation(detector, dataset, target='face')
        dataset['metainfo'] = dict(classes=('face', 'dog'))
        with pytest.raises(ValueError, match='test_dataloader has 2 classes'):
            run_evaluation(detector, dataset)
        wrapped = dict(type='RepeatDataset', times=1, dataset=dataset)
        with pytest.raises(ValueError, match='test_dataloader has 2 classes'):
            evaluate(detector, dict(test_dataloader=dict(dataset=wrapped)), **QUIET)


class TestUnfitArguments:
    @pytest.mark.parametrize(
        'images, boxes, error, message',
        [
            ('nowhere', None, FileNotFoundError, 'nowhere.*embedded'),
            ('nowhere', 'a.json', FileNotFoundError, 'folder nowhere'),
            (3, None, TypeError, 'got int and NoneType'),
            ([], [], ValueError, '0 images with 0'),
            ('*', [[]], ValueError, '2 images with 1'),
            ('*', [[[1, 2, 3]], []], ValueError, r'image 0 must be \(N, 4\)'),
            ('*', [[[1, 2, 9, float('nan')]], []], ValueError, 'finite'),
            ('*', [[], [[5, 5, 4, 9]]], ValueError, r'box \[5.0, .* of image 1'),
            ('*', [[], [[96, 5, 99, 9]]], ValueError, 'lies outside'),
            ([np.full((4, 4, 3), 9.0)], [[]], ValueError, r'from 9 to 9, .* \[0, 1\]'),
            ([np.full((4, 4, 3), np.nan)], [[]], ValueError, 'image 0 has floats'),
            ([np.zeros((4, 4, 3), int)], [[]], ValueError, 'image 0 is int64, but mus'),
            ([np.zeros((4, 4), np.uint8)], [[]], ValueError, r'is \(4, 4\), but must'),
            (dict(model={}), None, ValueError, 'of a detector or an attack'),
            (dict(a=1), None, ValueError, 'no test_dataloader'),
        ],
    )
    def test_images(self, images, boxes, error, message, tmp_path):
        images = pictures() if isinstance(images, str) and images == '*' else images
        with pytest.raises(error, match=message):
            image_config(images, boxes, tmp_path, 'test')

    def test_no_coco_file(self, detector, tmp_path):
        folder = write_coco(tmp_path, extra=False)
        path = folder / 'coco.json'
        content = json.loads(path.read_text())
        del content['annotations'][1]['area']
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match='coco.json: annotation 1 has no area'):
            run_evaluation(detector, folder, path)
        path.write_text('[]')
        with pytest.raises(ValueError, match='coco.json is no COCO file'):
            run_evaluation(detector, folder, path)

    @pytest.mark.parametrize('method', ['iou', dict(loss={}), dict(sample_set={}, a=1)])
    def test_method(self, method):
        with pytest.raises(ValueError, match='is none of patch_iou, patch_score'):
            method_config(method)

    def test_misspelt_option(self, tmp_path):
        with pytest.raises(KeyError, match='did you mean .*optim_wrapper'):
            run_config('patch_iou', None, str(tmp_path), options={'optim_wraper.x': 1})

    def test_unknown_weights(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='the package has .*sln_mbv2'):
            run_evaluation('facepatch://sln', pictures(), FACES)


@pytest.mark.slow
def test_published_detector_by_name(tmp_path):
    """Its config is found by the name; both spellings are the same detector."""
    name = 'sln_mbv2_widerface_subset'
    results = [
        numbers(run_evaluation(spelling, pictures()[:1], FACES[:1])['clean'])
        for spelling in (name, f'facepatch://{name}')
    ]
    assert results[0] == results[1]


@pytest.mark.slow
def test_named_data_as_the_tool_reports_them(tmp_path, run):
    """The API and tools/attack.py --report-only give the same numbers."""
    patch = tmp_path / 'patch.npy'
    save_patch(patch, torch.rand(3, 32, 32))
    options = {
        'test_dataloader.dataset.indices': 3,
        'test_dataloader.dataset.data_root': str(tmp_path / 'embedded'),
    }
    found = evaluate(
        'facepatch://sln_mbv2_widerface_subset',
        'embedded',
        patches=dict(grey=dict(type='constant', value=0.5), patch=patch),
        options=options,
        **QUIET,
    )
    done = run(
        'attack.py',
        'configs/attack/patch_score.py',
        '--report-only',
        patch,
        '--work-dir',
        tmp_path / 'tool',
        '--cfg-options',
        *(f'{key}={value}' for key, value in options.items()),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / 'tool' / 'report.json').read_text())
    for name in ('clean', 'grey', 'patch'):
        numbers = report['conditions'][name]['numbers']
        for key, value in found[name].numbers.items():
            if value == value:
                assert numbers[key] == value, (name, key)


@pytest.mark.parametrize('module', ['attack', 'evaluate'])
def test_examples(module, tmp_path):
    """The examples of the docstrings."""
    # The package's attribute of that name is the function.
    code = importlib.import_module(f'mmdet_facepatch.apis.{module}')
    results = doctest.testmod(
        code, extraglobs=dict(np=np, torch=torch, folder=tmp_path)
    )
    assert results.attempted == 4 and results.failed == 0
