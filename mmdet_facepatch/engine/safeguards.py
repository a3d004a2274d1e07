"""What guards a run against untrusted files and numbers that are not finite."""

from __future__ import annotations

from mmengine.config import Config

from ..weights import enable_safe_loading


def enable_safeguards(cfg: Config | None = None) -> None:
    """Switch on what the tools of this package guard their runs with.

    In this process, MMEngine reads checkpoints without running what is in them
    (:func:`mmdet_facepatch.weights.enable_safe_loading`). A run of ``cfg`` stops at
    losses, gradients and patches that are not finite
    (:class:`~mmdet_facepatch.engine.FiniteNumbersHook`).

    Args:
        cfg (Config, optional): Config of a run; gets the hook in ``default_hooks``,
            unless it has it there. Defaults to None.

    Example:
        >>> cfg = Config(dict(default_hooks=dict(timer=dict(type='IterTimerHook'))))
        >>> enable_safeguards(cfg)
        >>> sorted(cfg.default_hooks)
        ['numbers', 'timer']
    """
    enable_safe_loading()
    if cfg is not None:
        cfg.default_hooks = dict(
            dict(numbers=dict(type='FiniteNumbersHook')), **cfg.get('default_hooks', {})
        )
