"""mmcv's operators without a compiler.

mmcv needs compiled operators to import ``mmcv.ops``, and mmdet needs that. Where they
are missing, :func:`provide_operators` puts :mod:`.extension` in their place, before
mmdet is imported.
"""

from .backend import Backend, MissingOperatorError, log_backend, provide_operators

__all__ = ['Backend', 'MissingOperatorError', 'log_backend', 'provide_operators']
