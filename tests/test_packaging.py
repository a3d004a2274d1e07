"""What is built, installed and run agrees with itself."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmdet_facepatch
from mmdet_facepatch import stack

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
    files = [p for p in zoo.rglob('*') if p.is_file() and p.suffix in (
        '.pth', '.md', '.json', '.npy', '.png')]
    assert {p.suffix for p in files} == {'.pth', '.md', '.json', '.npy', '.png'}
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


def test_wheel_has_an_index_of_models(built: Path) -> None:
    assert (built / '.mim' / 'model-index.yml').read_text() == 'Import: []\n'


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
