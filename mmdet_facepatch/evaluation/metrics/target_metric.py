"""What metrics have in common that judge the target classes only."""

from __future__ import annotations

from typing import Any

from mmengine.evaluator import BaseMetric

from ...utils.target_classes import Target, TargetLabels, class_labels, split_target


class TargetMetric(BaseMetric):
    """A metric of the target classes of data and detector.

    Args:
        target (Target): Class that counts, or several, by name or index;
            ``dict(data=..., detector=...)`` where the detector numbers its classes in
            another way than the data set. None if the data set has one class. Defaults
            to None.
        **kwargs (Any): As in :class:`mmengine.evaluator.BaseMetric`.
    """

    def __init__(self, target: Target = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target
        self._labels: TargetLabels | None = None

    @property
    def target_labels(self) -> TargetLabels:
        """Labels of the target; an attack sets those of its own.

        Raises:
            ValueError: If the data set has no such class, or several where no target is
                named.
        """
        if self._labels is None:
            classes = (self.dataset_meta or {}).get('classes')
            names = (classes,) if isinstance(classes, str) else classes
            data, detector = (
                class_labels(
                    side, names, None, f'the data set of {type(self).__name__}'
                )
                for side in split_target(self.target)
            )
            self._labels = TargetLabels(data, detector)
        return self._labels

    @target_labels.setter
    def target_labels(self, labels: TargetLabels) -> None:
        self._labels = labels
