"""Build of the package; everything that is data stands in ``setup.cfg``.

What is added here: MMEngine resolves ``mmdet_facepatch::attack/patch_iou.py`` to
``<package>/.mim/configs/attack/patch_iou.py``. A wheel gets copies of ``configs`` and
``tools`` there, made in the build folder; an editable install gets links into the
checkout, so that an edited config is the one that is used. ``model-index.yml`` beside
them names the metafile by which MMEngine and mim find the published detectors; MMEngine
looks for it in the checkout, too, where it is not tracked.
"""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools')


class BuildWithConfigs(build_py):
    """``build_py`` that also ships ``configs`` and ``tools`` under ``.mim``."""

    def run(self) -> None:
        super().run()
        if getattr(self, 'editable_mode', False):
            prepare_checkout(ROOT)
        else:
            copy_shipped(Path(self.build_lib) / 'mmdet_facepatch' / '.mim')

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        if getattr(self, 'editable_mode', False):
            return outputs
        folder = Path(self.build_lib) / 'mmdet_facepatch' / '.mim'
        return outputs + [str(path) for path in folder.rglob('*') if path.is_file()]


def copy_shipped(target: Path) -> None:
    """Copies the shipped folders, without what runs and editors leave in them."""
    shutil.rmtree(target, ignore_errors=True)
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            unwanted = shutil.ignore_patterns('__pycache__', '.*', '*.sh')
            shutil.copytree(ROOT / name, target / name, ignore=unwanted)
    write_index(target)


def prepare_checkout(root: Path) -> None:
    """Links the shipped folders relative to the checkout, which may then move."""
    target = root / 'mmdet_facepatch' / '.mim'
    target.mkdir(exist_ok=True)
    for name in SHIPPED:
        link = target / name
        if link.is_symlink():
            link.unlink()
        if not link.exists():
            link.symlink_to(os.path.join('..', '..', name), target_is_directory=True)
    write_index(target)
    write_index(root)


def write_index(target: Path) -> None:
    """Write the index of metafiles, whose paths are relative to its folder."""
    text = 'Import:\n- configs/metafile.yml\n'
    (target / 'model-index.yml').write_text(text, encoding='utf-8')


if __name__ == '__main__':
    setup(cmdclass={'build_py': BuildWithConfigs})
