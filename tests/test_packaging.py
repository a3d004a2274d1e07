"""What is built, installed and run agrees with itself."""

from __future__ import annotations

import configparser
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import mmdet_facepatch
from mmdet_facepatch import stack, zoo
from mmdet_facepatch.attack import build_frozen_detector
from mmdet_facepatch.experiments import build_metafile

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ['.ci/run', 'tools/demo.sh', 'tools/run_tests.sh', 'tools/setup_env.sh']


@pytest.fixture(scope='module')
def metadata() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    return parser


def requirements(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith('#')]


@pytest.fixture(scope='module')
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel would hold it."""
    folder = tmp_path_factory.mktemp('build')
    command = [sys.executable, 'setup.py', '-q']
    command += ['egg_info', '--egg-base', str(folder)]
    command += ['build_py', '--build-lib', str(folder / 'lib')]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return folder / 'lib' / 'mmdet_facepatch'


def test_wheel_holds_every_module(built: Path) -> None:
    source = ROOT / 'mmdet_facepatch'
    modules = {p.relative_to(source) for p in source.rglob('*.py')}
    modules = {m for m in modules if m.parts[0] != '.mim'}
    assert len(modules) > 20
    assert {m for m in modules if not (built / m).is_file()} == set()


def test_wheel_holds_the_zoo(built: Path) -> None:
    zoo = ROOT / 'mmdet_facepatch' / 'zoo'
    files = [
        p
        for p in zoo.rglob('*')
        if p.is_file() and p.suffix in ('.pth', '.md', '.json', '.png')
    ]
    assert {p.suffix for p in files} == {'.pth', '.md', '.json', '.png'}
    for file in files:
        shipped = built / 'zoo' / file.relative_to(zoo)
        assert shipped.read_bytes() == file.read_bytes()


@pytest.mark.parametrize('name', ['configs', 'tools'])
def test_wheel_holds_configs_and_tools(built: Path, name: str) -> None:
    shipped = {
        p.relative_to(built / '.mim' / name)
        for p in (built / '.mim').rglob(name + '/**/*.py')
    }
    assert shipped == {p.relative_to(ROOT / name) for p in (ROOT / name).rglob('*.py')}
    assert len(shipped) >= 5


# What mmdet's users write, and nothing else; the printed lines are checked.
BY_NAME = """
import mmdet_facepatch
from mmdet.apis import DetInferencer
models = sorted(DetInferencer.list_models('mmdet_facepatch'))
found = DetInferencer('{name}', scope='mmdet_facepatch', device='cpu')
total = sum(value.double().sum().item() for value in found.model.state_dict().values())
print('found', mmdet_facepatch.__file__, found.cfg.filename, total, *models)
"""


def detector_by_name(folder: Path, name: str) -> list[str]:
    """What a program that finds a detector by its name prints."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', BY_NAME.format(name=name)],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(folder), 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (line,) = re.findall('^found (.*)$', done.stdout, re.MULTILINE)
    return line.split()


@pytest.mark.slow
def test_installed_detectors_are_found_by_name(built: Path) -> None:
    name = zoo.names()[-1]
    package, config, total, *models = detector_by_name(built.parent, name)
    assert package == str(built / '__init__.py')
    assert models == zoo.names()
    assert config == str(built / '.mim' / 'configs' / f'{name}.py')
    state = zoo.load_from_zoo(f'{zoo.SCHEME}{name}')['state_dict']
    assert float(total) == sum(value.double().sum().item() for value in state.values())


@pytest.mark.slow
def test_detectors_of_a_checkout_are_found_by_name(tmp_path: Path) -> None:
    """Of an editable install, which MMEngine reads at the top of the checkout."""
    for name in ('mmdet_facepatch', 'configs', 'tools'):
        unwanted = shutil.ignore_patterns('.mim', 'patches', '__pycache__')
        shutil.copytree(ROOT / name, tmp_path / name, ignore=unwanted)
    runpy.run_path(str(ROOT / 'setup.py'))['prepare_checkout'](tmp_path)
    name = zoo.names()[0]
    package, config, _, *models = detector_by_name(tmp_path, name)
    assert package == str(tmp_path / 'mmdet_facepatch' / '__init__.py')
    assert models == zoo.names()
    assert config == str(tmp_path / 'configs' / f'{name}.py')
    linked = tmp_path / 'mmdet_facepatch' / '.mim'
    assert (linked / 'configs').resolve() == tmp_path / 'configs'
    assert (linked / 'tools').resolve() == tmp_path / 'tools'


def test_metafile_is_of_the_published_weights() -> None:
    metafile = yaml.safe_load((ROOT / 'configs' / 'metafile.yml').read_text())
    assert metafile == build_metafile()
    named = {collection['Name'] for collection in metafile['Collections']}
    assert [model['Name'] for model in metafile['Models']] == zoo.names()
    for model in metafile['Models']:
        assert model['In Collection'] in named
        assert (ROOT / model['Config']).is_file()
        detector = build_frozen_detector(str(ROOT / model['Config']), model['Weights'])
        count = sum(parameter.numel() for parameter in detector.parameters())
        assert model['Metadata']['Parameters'] == count
        card = (zoo.FOLDER / f'{model["Name"]}.md').read_text()
        assert f'{count / 1e6:.2f} M' in card.replace('\n', ' ')


def test_pins_of_extras_and_of_the_messages_agree(metadata) -> None:
    for family, pins in stack.PINS.items():
        pins = {pin for name, pin in pins.items() if name != 'torch'}
        extra = set(requirements(metadata['options.extras_require'][family]))
        assert extra - {'setuptools<81'} == pins


def test_pins_of_the_set_up_script_and_of_the_messages_agree() -> None:
    script = (ROOT / 'tools' / 'setup_env.sh').read_text()
    for pins in stack.PINS.values():
        for name, pin in pins.items():
            if name == 'torch':
                pin = pin.replace('==', '==${FACEPATCH_TORCH:-') + '}'
                assert f'="{pin}"' in script
            else:
                assert f"='{pin}'" in script


def test_no_distribution_of_the_stack_is_required(metadata) -> None:
    """It would bring a second one under the same import name."""
    needed = requirements(metadata['options']['install_requires'])
    names = {re.split(r'[<>=!~]', line)[0] for line in needed}
    of_the_stack = {name for names in stack.DISTRIBUTIONS.values() for name in names}
    assert names
    assert not names & of_the_stack


def test_version_is_that_of_the_package(metadata) -> None:
    assert metadata['metadata']['version'] == (
        'attr: mmdet_facepatch.version.__version__'
    )
    assert re.fullmatch(r'\d+\.\d+\.\d+', mmdet_facepatch.__version__)


@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_parse(script: str) -> None:
    subprocess.run(['bash', '-n', str(ROOT / script)], check=True)


def test_ci_calls_what_the_readme_says() -> None:
    command = 'bash tools/run_tests.sh'
    last_line = (ROOT / '.ci' / 'run').read_text().splitlines()[-1]
    assert last_line == f'exec {command}'
    assert os.access(ROOT / '.ci' / 'run', os.X_OK)
    assert command in (ROOT / 'README.md').read_text()
    assert 'bash tools/demo.sh' in (ROOT / 'README.md').read_text()


@pytest.mark.parametrize(
    ('options', 'environment', 'message'),
    [
        (['--test'], {}, "unknown option '--test'"),
        ([], dict(FACEPATCH_OPS='yes'), "FACEPATCH_OPS=yes: it can only be 'compiled'"),
        ([], dict(FACEPATCH_STACK='mm'), 'FACEPATCH_STACK=mm is neither onedl nor'),
    ],
)
def test_set_up_refuses_what_it_does_not_know(options, environment, message) -> None:
    done = subprocess.run(
        ['bash', str(ROOT / 'tools' / 'setup_env.sh'), *options],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 2
    assert message in done.stderr


def test_license_is_in_the_wheel(metadata) -> None:
    assert metadata['metadata']['license'] == 'Apache-2.0'
    text = (ROOT / metadata['metadata']['license_files']).read_text()
    assert 'Apache License' in text and 'Version 2.0, January 2004' in text
    assert len(text.splitlines()) > 190
