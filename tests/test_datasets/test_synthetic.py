"""The embedded data set: exact layout, determinism, disjointness, repair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS

from mmdet_facepatch.datasets.embedded import dataset as embedded
from mmdet_facepatch.datasets.embedded import people, sources
from mmdet_facepatch.utils.wider_annotation import parse_wider_annotation


@pytest.fixture(scope='module')
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedded.build_embedded_dataset(tmp_path_factory.mktemp('data') / 'built')


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a build take a fraction of a second."""
    monkeypatch.setattr(embedded, 'NUM_IMAGES', {'train': 2, 'val': 1})


@pytest.fixture
def small(few_images: None, tmp_path: Path) -> Path:
    """A finished build of three images, which a test may damage."""
    return embedded.build_embedded_dataset(tmp_path / 'embedded')


def annotation(root: Path, split: str) -> dict:
    folder = root / 'wider_face_split'
    return parse_wider_annotation(str(folder / f'wider_face_{split}_bbx_gt.txt'))


def digest(root: Path) -> str:
    return json.loads((root / embedded.MANIFEST).read_text())['digest']


@pytest.mark.parametrize(('split', 'count'), [('train', 48), ('val', 32)])
def test_layout_is_that_of_wider_face(built: Path, split: str, count: int) -> None:
    images = annotation(built, split)
    folder = built / f'WIDER_{split}' / 'images'
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob('*.jpg')}
    assert set(images) == on_disk
    assert len(images) == count
    assert {name.split('/')[0] for name in images} == {'0--Composite'}


@pytest.mark.parametrize('split', ['train', 'val'])
def test_boxes_are_inside_and_apart(built: Path, split: str) -> None:
    sides = []
    for name, image in annotation(built, split).items():
        pixels = cv2.imread(str(built / f'WIDER_{split}' / 'images' / name))
        assert pixels.shape == (480, 640, 3)
        boxes = image.boxes
        assert 6 <= len(boxes) <= 14
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 0] + boxes[:, 2] <= 640).all()
        assert (boxes[:, 1] + boxes[:, 3] <= 480).all()
        assert not image.ignored.any()
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                apart = (a[:2] >= b[:2] + b[2:] - 1) | (b[:2] >= a[:2] + a[2:] - 1)
                assert apart.any(), f'{name}: {a} and {b} overlap'
        sides += list(np.sqrt(boxes[:, 2] * boxes[:, 3]))
    # Rounding a box to whole pixels moves its side by less than one.
    assert 17 < min(sides) < 22
    assert 90 < max(sides) < 111
    assert 30 < np.median(sides) < 55


def test_blur_grows_with_enlargement(built: Path) -> None:
    for image in annotation(built, 'train').values():
        blur, width = image.attributes[:, 0], image.boxes[:, 2]
        order = np.argsort(width)
        assert (np.diff(blur[order]) >= 0).all()


def test_no_face_is_drawn_twice_into_an_image() -> None:
    crops = np.repeat(np.linspace(0.1, 0.9, 14, dtype=np.float32), 625)
    crops = crops.reshape(14, 25, 25)
    background = np.zeros((480, 640, 3), np.float32)
    rng = np.random.default_rng(3)
    _, boxes, _ = people.compose_people(background, crops, rng)
    assert len({tuple(box) for box in boxes}) == len(boxes) <= 14


def test_a_face_fills_its_box() -> None:
    """A white crop in the dark: where it is bright, and nowhere else, is the box."""
    person = people.Person((100.0, 50.0, 168.0, 138.0))
    canvas = np.zeros((200, 300, 3), np.float32)
    crop = np.zeros((25, 25), np.float32)
    x1, y1, x2, y2 = people.FACE_IN_CROP
    crop[round(y1) : round(y2), round(x1) : round(x2)] = 1.0
    people._draw_head(canvas, person, crop, np.random.default_rng(0))
    bright = np.argwhere(canvas.max(2) > 0.75 * canvas.max())
    top, left = bright.min(0)
    bottom, right = bright.max(0) + 1
    scale = person.width / (x2 - x1)
    np.testing.assert_allclose((left, top, right, bottom), person.box, atol=1.2 * scale)


def test_same_seed_same_files(few_images: None, tmp_path: Path) -> None:
    first = embedded.build_embedded_dataset(tmp_path / 'first', seed=5)
    second = embedded.build_embedded_dataset(tmp_path / 'second', seed=5)
    other = embedded.build_embedded_dataset(tmp_path / 'other', seed=6)
    assert digest(first) == digest(second) != digest(other)
    for path in sorted(p for p in first.rglob('*') if p.is_file()):
        twin = second / path.relative_to(first)
        assert path.read_bytes() == twin.read_bytes(), path.name


def test_number_of_images_does_not_change_an_image(
    built: Path, few_images: None, tmp_path: Path
) -> None:
    few = embedded.build_embedded_dataset(tmp_path / 'few')
    name = 'WIDER_train/images/0--Composite/0_Composite_Composite_0_2.jpg'
    assert (few / name).read_bytes() == (built / name).read_bytes()


def test_faces_of_the_two_splits_are_disjoint() -> None:
    faces = sources.split_faces()
    train, val = set(faces['train']), set(faces['val'])
    assert not train & val
    assert len(train) == len(val) == 50
    assert train | val == set(range(100))
    assert set(sources.LOOK_ALIKES) <= train


def test_photographs_of_the_two_splits_are_disjoint() -> None:
    names = {
        split: {photograph.name for photograph in photographs}
        for split, photographs in sources.PHOTOGRAPHS.items()
    }
    assert not names['train'] & names['val']
    # Two views of one scene count as one photograph.
    assert {'motorcycle_left.png', 'motorcycle_right.png'} <= names['train']


def test_no_copy_of_a_face_is_on_the_other_side() -> None:
    """Correlation of the inner 19 x 19 pixels, shifted and mirrored."""
    crops = sources.load_faces()
    faces = sources.split_faces()

    def standardised(windows: np.ndarray) -> np.ndarray:
        flat = windows.reshape(len(windows), -1)
        flat = flat - flat.mean(1, keepdims=True)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    detail = np.stack([c - cv2.GaussianBlur(c, (0, 0), 4) for c in crops])
    fixed = standardised(detail[faces['train'], 3:22, 3:22])
    highest = 0.0
    for mirrored in (detail[faces['val']], detail[faces['val']][:, :, ::-1]):
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                window = mirrored[:, 3 + dy : 22 + dy, 3 + dx : 22 + dx]
                highest = max(highest, float((fixed @ standardised(window).T).max()))
    assert 0.5 < highest < 0.75


def test_astronauts_face_is_out_of_the_region_used() -> None:
    (photograph,) = (p for p in sources.PHOTOGRAPHS['val'] if p.name == 'astronaut.png')
    assert photograph.region == (0, 200, 512, 512)
    assert sources.load_photograph(photograph).shape == (312, 512, 3)


def test_a_finished_build_is_left_alone(small: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in small.rglob('*')}
    assert embedded.build_embedded_dataset(small) == small
    assert {p: p.stat().st_mtime_ns for p in small.rglob('*')} == before


@pytest.mark.parametrize(
    'damage',
    [
        lambda root: next(root.rglob('*.jpg')).unlink(),
        lambda root: next(root.rglob('*.jpg')).write_bytes(b'\xff\xd8'),
        lambda root: next(root.rglob('*_bbx_gt.txt')).write_text(''),
        lambda root: (root / embedded.MANIFEST).write_text('{'),
    ],
    ids=['missing image', 'broken image', 'emptied annotation', 'broken manifest'],
)
def test_damage_is_repaired(small: Path, damage) -> None:
    whole = digest(small)
    damage(small)
    assert not embedded.is_built(small)
    embedded.build_embedded_dataset(small)
    assert embedded.is_built(small)
    assert digest(small) == whole
    assert [p.name for p in small.parent.iterdir()] == [small.name]


def test_another_seed_or_version_is_replaced(
    few_images: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = embedded.build_embedded_dataset(tmp_path / 'data')
    assert embedded.is_built(root, 0)
    assert not embedded.is_built(root, 1)
    embedded.build_embedded_dataset(root, 1)
    assert embedded.is_built(root, 1)
    monkeypatch.setattr(embedded, 'BUILD_VERSION', embedded.BUILD_VERSION + 1)
    assert not embedded.is_built(root, 1)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'holiday.jpg').write_bytes(b'')
    with pytest.raises(FileExistsError, match='is no embedded data set'):
        embedded.build_embedded_dataset(tmp_path)
    assert (tmp_path / 'holiday.jpg').exists()


def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, '_digest_of', interrupt)
    monkeypatch.setattr(embedded, 'NUM_IMAGES', {'train': 1, 'val': 1})
    with pytest.raises(KeyboardInterrupt):
        embedded.build_embedded_dataset(tmp_path / 'embedded')
    assert list(tmp_path.iterdir()) == []


def test_of_two_builds_at_a_time_the_first_wins(
    few_images: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / 'embedded'
    write = embedded._write_dataset

    def overtaken(folder: Path, seed: int) -> None:
        """While this build writes, another one finishes."""
        write(folder, seed)
        monkeypatch.setattr(embedded, '_write_dataset', write)
        embedded.build_embedded_dataset(root, seed)

    monkeypatch.setattr(embedded, '_write_dataset', overtaken)
    embedded.build_embedded_dataset(root)
    assert embedded.is_built(root)
    assert list(tmp_path.iterdir()) == [root]


def test_missing_scikit_image_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'skimage', None)
    with pytest.raises(ImportError, match="pip install 'scikit-image>=0.22'"):
        embedded.build_embedded_dataset(tmp_path / 'embedded')
    assert list(tmp_path.iterdir()) == []


def test_missing_file_of_scikit_image_is_explained() -> None:
    with pytest.raises(FileNotFoundError, match='has no .*nowhere.png'):
        sources.load_photograph(sources.Photograph('nowhere.png'))


def test_annotation_lines() -> None:
    assert embedded.annotation_lines('a/b.jpg', [(1, 2, 3, 4)], [2]) == [
        'a/b.jpg',
        '1',
        '1 2 3 4 2 0 0 0 0 0 ',
    ]


def test_dataset_builds_what_it_needs(few_images: None, tmp_path: Path) -> None:
    cfg = dict(
        type='EmbeddedFaceDataset',
        data_root=str(tmp_path / 'embedded'),
        split='val',
        test_mode=True,
    )
    dataset = DATASETS.build(cfg)
    assert len(dataset) == 1
    info = dataset.get_data_info(0)
    assert info['img_id'] == '0--Composite/0_Composite_Composite_0_1'
    assert Path(info['img_path']).is_file()
    assert len(info['instances']) >= 6


def test_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split='test'"):
        embedded.EmbeddedFaceDataset(str(tmp_path / 'embedded'), split='test')
    assert list(tmp_path.iterdir()) == []


def test_files_are_the_same_in_another_process(
    built: Path, few_images: None, tmp_path: Path
) -> None:
    """Neither hash seeds nor global random state get into the pictures."""
    code = (
        'import sys, numpy as np; np.random.seed(7);'
        'from mmdet_facepatch.datasets.embedded import dataset as s;'
        "s.NUM_IMAGES = {'train': 1, 'val': 1}; s.build_embedded_dataset(sys.argv[1])"
    )
    root = tmp_path / 'embedded'
    subprocess.run([sys.executable, '-c', code, str(root)], check=True, timeout=300)
    for split in ('train', 'val'):
        name = f'WIDER_{split}/images/0--Composite/0_Composite_Composite_0_1.jpg'
        assert (root / name).read_bytes() == (built / name).read_bytes()
