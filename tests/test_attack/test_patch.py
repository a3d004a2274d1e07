"""The patch: inits, projection, files, bad input."""

import os
import pickle

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from PIL import Image

from mmdet_facepatch.attack.patch.universal_patch import (
    UniversalPatch,
    check_pixels,
    initial_pixels,
    load_patch,
    save_patch,
)


def test_module_holds_one_parameter_and_returns_it():
    patch = MODELS.build(dict(type='UniversalPatch'))
    assert isinstance(patch, UniversalPatch)
    assert [name for name, _ in patch.named_parameters()] == ['pixels']
    assert patch.pixels.shape == (3, 128, 128)
    assert patch.pixels.dtype == torch.float32
    assert patch() is patch.pixels
    assert list(patch.state_dict()) == ['pixels']


def test_project_clamps_in_place():
    patch = UniversalPatch(size=2, init=dict(type='constant', value=0.5))
    pixels = patch.pixels
    with torch.no_grad():
        pixels[0] = torch.tensor([[-1.0, 0.25], [1.0, 7.0]])
    patch.project_()
    assert patch.pixels is pixels
    assert pixels.requires_grad
    assert pixels[0].tolist() == [[0.0, 0.25], [1.0, 1.0]]
    assert (pixels[1:] == 0.5).all()


# --------------------------------------------------------------------------- inits
def test_noise_is_seeded_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first = initial_pixels((20, 30), dict(type='noise', seed=3))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (3, 20, 30)
    assert torch.equal(first, initial_pixels((20, 30), dict(type='noise', seed=3)))
    assert not torch.equal(first, initial_pixels((20, 30), dict(type='noise', seed=4)))
    assert torch.equal(
        first, torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(3))
    )


def test_noise_within_bounds():
    noise = initial_pixels(64, dict(type='noise', low=0.25, high=0.5))
    assert 0.25 <= noise.min() < 0.26
    assert 0.49 < noise.max() <= 0.5
    assert (initial_pixels(4, dict(type='noise', low=0.5, high=0.5)) == 0.5).all()


def test_constant():
    grey = initial_pixels([2, 3], dict(type='constant', value=0.25))
    assert torch.equal(grey, torch.full((3, 2, 3), 0.25))
    assert (initial_pixels(2, dict(type='constant', value=1)) == 1).all()
    colour = initial_pixels(2, dict(type='constant', value=[0, 0.5, 1]))
    assert colour[:, 0, 0].tolist() == [0, 0.5, 1]
    assert colour.is_contiguous()


def test_image_is_cut_to_shape_and_averaged(tmp_path):
    # 2 x 6 image for a 1 x 1 patch: the two middle columns remain.
    columns = np.array([9, 9, 10, 20, 9, 9], np.uint8)
    image = np.stack([columns, columns, columns * 2], axis=-1)[None].repeat(2, 0)
    Image.fromarray(image).save(tmp_path / 'a.png')
    pixels = initial_pixels(1, dict(type='image', path=str(tmp_path / 'a.png')))
    torch.testing.assert_close(pixels[:, 0, 0] * 255, torch.tensor([15.0, 15.0, 30.0]))
    pixels = initial_pixels(2, dict(type='image', path=tmp_path / 'a.png'))
    torch.testing.assert_close(pixels[0] * 255, torch.tensor([[10.0, 20.0]] * 2))
    tall = initial_pixels((2, 1), dict(type='image', path=tmp_path / 'a.png'))
    assert tall.shape == (3, 2, 1)


def test_image_may_be_an_exact_file(tmp_path):
    pixels = initial_pixels(16, dict(type='noise'))
    save_patch(tmp_path / 'p.npy', pixels)
    again = initial_pixels(16, dict(type='image', path=tmp_path / 'p.npy'))
    torch.testing.assert_close(again, pixels)


@pytest.mark.parametrize(
    ('init', 'message'),
    [
        (dict(type='zeros'), "type 'zeros'; known: constant, face, image, noise"),
        (dict(seed=0), 'type None; known'),
        ('noise', "init 'noise' must be a dict"),
        (dict(type='noise', low=-0.1), 'not within'),
        (dict(type='noise', low=0.6, high=0.5), 'not within'),
        (dict(type='noise', high=255), 'not within'),
        (dict(type='constant', value=127), r'in \[0, 1\]'),
        (dict(type='constant', value=[0.5, 0.5]), r'in \[0, 1\]'),
        (dict(type='constant', value=float('nan')), r'in \[0, 1\]'),
    ],
)
def test_bad_init(init, message):
    with pytest.raises(ValueError, match=message):
        UniversalPatch(init=init)


def test_unknown_option_of_an_init_is_named():
    with pytest.raises(TypeError, match='sead'):
        UniversalPatch(init=dict(type='noise', sead=0))


@pytest.mark.parametrize('size', [0, 4.0, (3,), (4, -1), (4.0, 4), (1, 2, 3)])
def test_bad_size(size):
    with pytest.raises(ValueError, match='patch size'):
        UniversalPatch(size=size)


# --------------------------------------------------------------------------- files
def test_npy_is_exact(tmp_path):
    pixels = initial_pixels((5, 7), dict(type='noise', seed=1)).requires_grad_()
    save_patch(tmp_path / 'new' / 'p.npy', pixels)
    again = load_patch(tmp_path / 'new' / 'p.npy', size=(5, 7))
    assert torch.equal(again, pixels)
    assert not again.requires_grad


def test_png_is_rounded_rgb(tmp_path):
    pixels = torch.tensor([0.0, 0.4 / 255, 254.6 / 255])[:, None, None].repeat(1, 2, 3)
    save_patch(str(tmp_path / 'p.png'), pixels)
    with Image.open(tmp_path / 'p.png') as image:
        assert image.mode == 'RGB'
        assert image.size == (3, 2)
        assert image.getpixel((2, 1)) == (0, 0, 255)
    assert load_patch(tmp_path / 'p.png')[:, 0, 0].tolist() == [0, 0, 1]


def test_every_8_bit_value_survives_a_png(tmp_path):
    pixels = (torch.arange(256.0) / 255).view(1, 16, 16).repeat(3, 1, 1)
    save_patch(tmp_path / 'p.png', pixels)
    assert torch.equal(load_patch(tmp_path / 'p.png'), pixels)


@pytest.mark.parametrize('name', ['p.npy', 'p.png'])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, name):
    old = initial_pixels(4, dict(type='constant', value=1.0))
    save_patch(tmp_path / name, old)

    def full_disk(descriptor):
        raise OSError('No space left on device')

    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(OSError, match='No space left'):
        save_patch(tmp_path / name, old * 0)
    assert torch.equal(load_patch(tmp_path / name), old)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_save_refuses_other_suffixes_and_bad_pixels(tmp_path):
    good = initial_pixels(4, dict(type='noise'))
    with pytest.raises(ValueError, match=r'saved as \.png .* or \.npy'):
        save_patch(tmp_path / 'p.jpg', good)
    with pytest.raises(ValueError, match='values from 0 to 255'):
        save_patch(tmp_path / 'p.png', torch.tensor([0.0, 255.0]).expand(3, 2, 2))
    assert not list(tmp_path.iterdir())


def npy(values):
    return lambda path: np.save(path, values)


def png(mode):
    return lambda path: Image.new(mode, (4, 4)).save(path)


@pytest.mark.parametrize(
    ('name', 'write', 'message'),
    [
        ('a.npy', npy(np.full((3, 2, 2), 2.0)), r'values from 2 to 2.* \[0, 1\]'),
        ('a.npy', npy(np.full((3, 2, 2), -0.1)), 'values from -0.1'),
        ('a.npy', npy(np.full((3, 2, 2), np.nan)), 'NaN or infinite'),
        ('a.npy', npy(np.full((3, 2, 2), np.inf)), 'NaN or infinite'),
        ('a.npy', npy(np.zeros((2, 2, 3))), r'shape \(2, 2, 3\).*\(3, H, W\)'),
        ('a.npy', npy(np.zeros((3, 0, 2))), r'shape \(3, 0, 2\)'),
        ('a.npy', npy(np.zeros((3, 2))), r'shape \(3, 2\)'),
        ('a.npy', lambda path: path.write_bytes(b''), r'not a plain \.npy'),
        ('a.npy', lambda path: path.write_bytes(b'\x93NUMPY'), r'not a plain \.npy'),
        ('a.npy', npy(np.array(['x'])), r'not a plain \.npy'),
        ('a.png', png('L'), 'image mode L'),
        ('a.png', png('RGBA'), 'image mode RGBA'),
        ('a.png', png('I;16'), 'image mode I;16'),
        ('a.jpg', png('CMYK'), 'image mode CMYK'),
        ('a.png', lambda path: path.write_bytes(b''), 'not a readable image'),
        ('a.png', lambda path: path.write_text('hello'), 'not a readable image'),
    ],
)
def test_unfit_files_are_named(tmp_path, name, write, message):
    path = tmp_path / name
    write(path)
    with pytest.raises(ValueError, match=message) as error:
        load_patch(path)
    assert str(path) in str(error.value)


def test_truncated_image(tmp_path):
    path = tmp_path / 'p.png'
    save_patch(path, initial_pixels(64, dict(type='noise')))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match='not a readable image'):
        load_patch(path)


def test_integers_are_no_patch(tmp_path):
    np.save(tmp_path / 'p.npy', np.zeros((3, 2, 2), np.uint8))
    with pytest.raises(TypeError, match='divide 8-bit values by 255'):
        load_patch(tmp_path / 'p.npy')


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.npy does not exist'):
        load_patch(tmp_path / 'nowhere.npy')


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('wrapped', [True, False])
def test_pickles_are_refused_unopened(tmp_path, wrapped):
    trap = tmp_path / 'trap'
    if wrapped:
        np.save(tmp_path / 'p.npy', np.array([Payload(trap)], object))
    else:
        (tmp_path / 'p.npy').write_bytes(pickle.dumps(Payload(trap)))
    with pytest.raises(ValueError, match=r'not a plain \.npy'):
        load_patch(tmp_path / 'p.npy')
    assert not trap.exists()


def test_size_is_checked_on_demand(tmp_path):
    save_patch(tmp_path / 'p.npy', initial_pixels((4, 6), dict(type='noise')))
    assert load_patch(tmp_path / 'p.npy', size=(4, 6)).shape == (3, 4, 6)
    with pytest.raises(ValueError, match=r'size \(4, 6\).*expected \(8, 8\)'):
        load_patch(tmp_path / 'p.npy', size=8)


def test_check_pixels_returns_what_it_got():
    pixels = torch.zeros(3, 2, 2)
    assert check_pixels(pixels, size=2) is pixels
