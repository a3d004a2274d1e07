"""Patches shown alone: pictures, scores, tables."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_facepatch.attack import build_frozen_detector, detector_digest, save_patch
from mmdet_facepatch.engine import (
    Likeness,
    Scenes,
    face_likeness_run,
    likeness_to_markdown,
    measure_likeness,
    run_face_likeness,
)
from mmdet_facepatch.engine.face_likeness import (
    canvases,
    filling_paste,
    middle_of,
    patch_digest,
    show_patch,
)
from mmdet_facepatch.engine.face_likeness_run import patch_files
from mmdet_facepatch.models.detectors import BlackBoxDetector
from mmdet_facepatch.models.detectors.black_box import instances_of

ROOT = Path(__file__).resolve().parents[2]
WHITE, GREY = dict(type='constant', value=1.0), dict(type='constant', value=0.5)
SCENES = dict(size=64, sides=(8, 16), shifts=((0, 0), (5, -3)))
BLACK_BOX = dict(
    type='WhiteBlackBox', test_cfg=dict(), data_preprocessor=dict(
        type='DetDataPreprocessor'))


@MODELS.register_module()
class WhiteBlackBox(BlackBoxDetector):
    """Takes white for a face, the more the larger; and always one in the corner."""

    def detect(self, image):
        boxes, scores = [[0.0, 0.0, 9.0, 9.0]], [0.9]
        rows, columns = torch.nonzero(image.amin(dim=0) == 255, as_tuple=True)
        if len(rows):
            x1, y1, x2, y2 = (f(v).item() for f in (min, max) for v in (columns, rows))
            boxes.append([x1, y1, x2 + 1, y2 + 1])
            scores.append((x2 + 1 - x1) / 32)
        return instances_of(torch.tensor(boxes), torch.tensor(scores))


@pytest.fixture
def detector():
    return MODELS.build(BLACK_BOX).eval()


class TestPictures:

    def test_patch_fills_its_box_and_nothing_else(self):
        canvas = np.full((64, 64, 3), 127, np.uint8)
        image, box = show_patch(filling_paste(WHITE), canvas, 9, (5, -3))
        assert box.tolist() == [[32, 24, 41, 33]]
        assert (image[24:33, 32:41] == 255).all()
        image[24:33, 32:41] = 127
        assert (image == 127).all()
        assert (canvas == 127).all()

    def test_backgrounds(self):
        pytest.importorskip('skimage')
        scenes = Scenes(size=64, sides=(8,), shifts=((0, 0), (1, 2)), grey=99,
                        photographs=('brick.png',))
        (a, plain, shift), (_, _, moved), (b, photograph, middle) = canvases(scenes)
        assert (a, shift, moved) == ('grey', (0, 0), (1, 2))
        assert (plain == 99).all()
        assert (b, middle) == ('photograph', (0, 0))
        assert photograph.shape == (64, 64, 3)
        assert photograph.std() > 1

    def test_middle(self):
        image = np.arange(7 * 6 * 3, dtype=np.uint8).reshape(7, 6, 3)
        assert (middle_of(image, 4) == image[1:5, 1:5]).all()
        with pytest.raises(ValueError, match='of 6 x 7 pixels has no square of 8'):
            middle_of(image, 8)

    @pytest.mark.parametrize(
        ('change', 'message'),
        [(dict(sides=(8, 65)), 'a patch of 65 pixels'),
         (dict(shifts=((25, 0),)), r'16 pixels, shifted by \(25, 0\)'),
         (dict(photographs=('chelsea.png',)), r"\['chelsea.png'\] are not known")])
    def test_unfit_scenes(self, change, message):
        with pytest.raises(ValueError, match=message):
            Scenes(**{**SCENES, **change})


def test_scores_are_those_on_the_patch(detector):
    """Not those in the corner, and 0 where the patch is not detected."""
    patches = dict(white=filling_paste(WHITE), grey=filling_paste(GREY))
    results = measure_likeness('w', detector, patches, Scenes(**SCENES))
    assert results == [
        Likeness('w', 'white', 'grey', 8, (0.25, 0.25)),
        Likeness('w', 'white', 'grey', 16, (0.5, 0.5)),
        Likeness('w', 'grey', 'grey', 8, (0.0, 0.0)),
        Likeness('w', 'grey', 'grey', 16, (0.0, 0.0))]


def test_tables():
    results = [Likeness(name, patch, 'grey', side, (score, score + 0.2))
               for name, shift in (('a', 0.0), ('b', 0.05))
               for patch, side, score in (('x', 8, 0.1), ('x', 16, 0.0), ('y', 8, 0.3),
                                          ('y', 16, 0.5 + shift))]
    lines = likeness_to_markdown('T', results).splitlines()
    assert lines[0] == '# T'
    # At the side where it is highest, and by side.
    assert lines[lines.index('| | a | b |') + 2:][:2] == [
        '| x | 20.0 | 20.0 |', '| y | 60.0 | 65.0 |']
    assert lines[lines.index('**On grey, b**') + 4:][:2] == [
        '| x | 20.0 | 10.0 |', '| y | 40.0 | 65.0 |']


class TestRun:

    @pytest.fixture
    def config(self, tmp_path):
        Config(dict(model=BLACK_BOX)).dump(tmp_path / 'box.py')
        Config(dict(
            title='Faces?', iou_thr=0.3, share=0.5, scenes=SCENES,
            patches=dict(grey=GREY), detectors=dict(
                box=dict(config=str(tmp_path / 'box.py'), checkpoint=None)),
        )).dump(tmp_path / 'likeness.py')
        return tmp_path / 'likeness.py'

    def test_whole(self, config, tmp_path):
        save_patch(tmp_path / 'w.npy', torch.ones(3, 8, 8))
        arguments = [f'white={tmp_path / "w.npy"}']
        table = run_face_likeness(str(config), arguments, tmp_path / 'out',
                                  command='python x')
        assert '| white | 50.0 |' in table
        written = (tmp_path / 'out' / 'face_likeness.json').read_bytes()
        content = json.loads(written)
        assert [(r['patch'], r['side'], r['highest']) for r in content['results']] == [
            ('grey', 8, 0), ('grey', 16, 0), ('white', 8, 0.25), ('white', 16, 0.5)]
        manifest = content['manifest']
        assert manifest['command'] == 'python x'
        assert manifest['detectors']['box']['digest'] == detector_digest(
            build_frozen_detector(str(tmp_path / 'box.py')))
        assert manifest['patches']['white']['sha256'] == patch_digest(
            filling_paste(dict(WHITE, size=8)))
        assert len(manifest['patches']['white']['file_sha256']) == 64
        assert 'file_sha256' not in manifest['patches']['grey']
        assert manifest['versions']['torch'] == torch.__version__
        assert {path.name for path in (tmp_path / 'out').iterdir()} == {
            'face_likeness.json', 'face_likeness.md', 'grey.png', 'grey_box.png'}
        run_face_likeness(str(config), arguments, tmp_path / 'out', command='python x')
        assert (tmp_path / 'out' / 'face_likeness.json').read_bytes() == written

    def test_options(self, config, tmp_path):
        table = run_face_likeness(str(config), [], tmp_path / 'out', options={
            'scenes.sides': [12], 'patches.grey.value': 1.0})
        assert '| | 12 px |' in table
        assert '| grey | 37.5 |' in table

    @pytest.fixture
    def measured(self, monkeypatch):
        """Names of the patches that are measured, of each detector."""
        calls = []

        def counting(name, detector, patches, *args):
            calls.append((name, list(patches)))
            return measure_likeness(name, detector, patches, *args)

        monkeypatch.setattr(face_likeness_run, 'measure_likeness', counting)
        return calls

    def test_kept(self, config, tmp_path, measured):
        """What is known is not measured again, and the file is that of a whole run."""
        save_patch(tmp_path / 'w.npy', torch.ones(3, 8, 8))
        cfg = Config.fromfile(config)
        cfg.detectors.twin = cfg.detectors.box
        cfg.dump(tmp_path / 'twin.py')
        patches = [f'white={tmp_path / "w.npy"}']
        run_face_likeness(str(config), [], tmp_path / 'one')
        first = tmp_path / 'one' / 'face_likeness.json'
        whole = run_face_likeness(
            str(tmp_path / 'twin.py'), patches, tmp_path / 'whole')
        del measured[:]
        again = run_face_likeness(
            str(tmp_path / 'twin.py'), patches, tmp_path / 'again', kept=first)
        # The twin is the same detector by another name.
        assert measured == [('box', ['white']), ('twin', ['white'])]
        assert again == whole
        files = [tmp_path / name / 'face_likeness.json' for name in ('whole', 'again')]
        assert files[0].read_bytes() == files[1].read_bytes()
        del measured[:]
        run_face_likeness(str(config), [], tmp_path / 'all', kept=files[1])
        assert measured == []
        assert (tmp_path / 'all' / 'face_likeness.json').read_bytes() == (
            first.read_bytes())

    def test_kept_of_another_detector(self, config, tmp_path, measured):
        """Its settings count, not only its weights."""
        run_face_likeness(str(config), [], tmp_path / 'one')
        box = Config.fromfile(tmp_path / 'box.py')
        box.model.test_cfg = dict(score_thr=0.5)
        box.dump(tmp_path / 'box.py')
        del measured[:]
        run_face_likeness(str(config), [], tmp_path / 'two',
                          kept=tmp_path / 'one' / 'face_likeness.json')
        assert measured == [('box', ['grey'])]

    def test_kept_is_of_another_kind(self, config, tmp_path):
        run_face_likeness(str(config), [], tmp_path / 'one')
        kept = tmp_path / 'one' / 'face_likeness.json'
        with pytest.raises(ValueError, match='with other scenes, share; leave --kept'):
            run_face_likeness(
                str(config), [], tmp_path / 'two', kept=kept,
                options={'scenes.grey': 3, 'share': 0.4})
        with pytest.raises(FileNotFoundError, match='there are no kept results'):
            run_face_likeness(str(config), [], tmp_path / 'two', kept='no.json')
        content = json.loads(kept.read_text())
        del content['manifest']['patches']['grey']
        kept.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r'not a face_likeness.json: KeyError'):
            run_face_likeness(str(config), [], tmp_path / 'two', kept=kept)
        assert not (tmp_path / 'two').exists()

    @pytest.mark.parametrize(
        ('patches', 'detectors', 'message'),
        [(['a'], None, '--patches a: give NAME=FILE'),
         (['a=x.png', 'a=y.png'], None, '--patches a=y.png'),
         (['grey=x.png'], None, 'has patches of that name'),
         ([], ['sln'], r"--detectors \['sln'\]: the config has \['box'\]")])
    def test_wrong_names(self, config, tmp_path, patches, detectors, message):
        with pytest.raises(ValueError, match=message):
            run_face_likeness(str(config), patches, tmp_path, detectors=detectors)

    def test_missing_files(self, config, tmp_path):
        with pytest.raises(FileNotFoundError, match='nowhere.png'):
            run_face_likeness(str(config), ['a=nowhere.png'], tmp_path)
        with pytest.raises(FileNotFoundError, match='no.py does not exist'):
            run_face_likeness('no.py', [], tmp_path)


def test_names_of_patches():
    assert patch_files(['a b=c.png', 'd=e=f.npy']) == {'a b': 'c.png', 'd': 'e=f.npy'}


@pytest.mark.parametrize(('words', 'kept'), [
    (['c', '--work-dir', 'x'], None), (['c', '--kept', '--work-dir', 'x'], 'default'),
    (['c', '--kept', 'k', '--work-dir', 'x'], 'k'),
    (['c', '--kept=k', '--work-dir', 'x'], 'k')])
def test_recorded_command_measures_everything(words, kept):
    tool = runpy.run_path(str(ROOT / 'tools' / 'face_likeness.py'))
    assert tool['without_kept'](words, kept) == ['c', '--work-dir', 'x']
