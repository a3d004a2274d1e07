"""What readers have in common, and how a detector finds its reader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mmdet.registry import TASK_UTILS
from mmdet.structures import DetDataSample
from torch import Tensor

from ...models.detectors import BlackBoxDetector
from ..candidates import Candidates

_READERS: dict[type, type[CandidateReader]] = {}
_REFUSED: dict[type, str] = {}

ReaderType = TypeVar('ReaderType', bound='type[CandidateReader]')


def register_reader(*head_types: type) -> Callable[[ReaderType], ReaderType]:
    """Decorate a reader with the heads that it reads.

    It also reads heads that inherit from these, unless a class between has a
    reader of its own or is refused. A later registration replaces an earlier
    one.

    Args:
        *head_types (type): Classes of ``roi_head`` or ``bbox_head`` of a detector.

    Returns:
        Callable[[ReaderType], ReaderType]: A decorator of subclasses of
        :class:`CandidateReader`.
    """

    def register(reader: ReaderType) -> ReaderType:
        for head_type in head_types:
            _REFUSED.pop(head_type, None)
            _READERS[head_type] = reader
        return reader

    return register


def refuse_head(head_type: type, reason: str) -> None:
    """Except heads from the reader that they would inherit.

    Args:
        head_type (type): Class of head.
        reason (str): Ends the sentence "no reader for HEAD, ...", and says in what its
            scores differ.
    """
    _REFUSED[head_type] = reason


def head_name(head: Any) -> str:
    """Name of a head's class, or what is said where there is no head."""
    if head is None:
        return 'a detector without roi_head and bbox_head'
    return type(head).__name__


def no_reader(head: Any, reason: str | None = None) -> TypeError:
    """The error for a head (or None); the reason ends "no reader for HEAD, ..."."""
    known = ', '.join(sorted(head_type.__name__ for head_type in _READERS))
    because = f', {reason}' if reason else ''
    return TypeError(
        f'there is no candidate reader for {head_name(head)}{because}. There are '
        f'readers for {known} and what inherits from them. To attack this '
        'detector, write a subclass of mmdet_facepatch.attack.CandidateReader '
        'with a method read(detector, inputs, data_samples) that returns the '
        "Candidates of each image, decorate it with @register_reader(its head's "
        "class), and name its module in the config's custom_imports"
    )


def check_not_refused(head: Any) -> None:
    """Raise TypeError if the nearest known class of a head, or part, is refused."""
    for head_type in type(head).__mro__:
        if head_type in _REFUSED:
            raise no_reader(head, _REFUSED[head_type])
        if head_type in _READERS:
            return


def find_reader(head: Any) -> type[CandidateReader]:
    """The reader of a head: that of the nearest class it inherits from.

    Raises:
        TypeError: If there is none; the message lists the known heads.
    """
    check_not_refused(head)
    for head_type in type(head).__mro__:
        if head_type in _READERS:
            return _READERS[head_type]
    raise no_reader(head)


def detection_head(detector: Any) -> Any:
    """The ``roi_head`` or ``bbox_head`` whose scores a detector reports, or None."""
    if isinstance(detector, BlackBoxDetector):
        detector.refuse('candidates')
    roi_head = getattr(detector, 'roi_head', None)
    return getattr(detector, 'bbox_head', None) if roi_head is None else roi_head


def checked_class_ids(reader: object, class_id: int | Sequence[int]) -> tuple[int, ...]:
    """Class ids, or a ValueError that names the reader if one is none."""
    found = (class_id,) if isinstance(class_id, int) else tuple(class_id)
    if not found or not all(isinstance(one, int) and one >= 0 for one in found):
        raise ValueError(
            f'{type(reader).__name__}: class_id must be an integer from 0 '
            f'on, or a list of them, got {class_id!r}'
        )
    return found


class CandidateReader(ABC):
    """Turns one forward pass of a frozen detector into candidates.

    The detector is in ``eval()`` without parameter gradients, and a reader
    leaves it as it is. Subclasses implement :meth:`read`, and are found by
    the head's type once they are registered with :func:`register_reader`.

    Args:
        class_id (int | Sequence[int]): Target class, or several: each box is then a
            candidate of each. :class:`PatchAttacker` sets it from its ``target``.
            Defaults to 0.

    Raises:
        ValueError: If ``class_id`` is no integer from 0 on.
    """

    def __init__(self, class_id: int | Sequence[int] = 0) -> None:
        self.class_ids = checked_class_ids(self, class_id)

    def __call__(
        self, detector: Any, inputs: Tensor, data_samples: Sequence[DetDataSample]
    ) -> list[Candidates]:
        """Run the detector up to its scores.

        Args:
            detector (Any): A detector whose head this reader is registered for.
            inputs (Tensor): Normalised, padded images, (B, 3, H, W) float.
            data_samples (Sequence[DetDataSample]): Their B samples, as the detector's
                data preprocessor leaves them: with ``img_shape`` and
                ``batch_input_shape``.

        Returns:
            list[Candidates]: The candidates of each image.

        Raises:
            TypeError: If the head is of another kind.
            ValueError: If the head has no class ``class_id``.
        """
        head = detection_head(detector)
        reader = find_reader(head)
        if not isinstance(self, reader):
            raise TypeError(
                f'{type(self).__name__} does not read {head_name(head)}, '
                f'{reader.__name__} does; AutoCandidateReader would choose it'
            )
        num_classes = self.num_classes(head)
        highest = max(self.class_ids)
        if highest >= num_classes:
            raise ValueError(
                f'{type(self).__name__}: class_id is {highest}, but '
                f'{head_name(head)} has {num_classes} class(es), counted from 0'
            )
        return self.read(detector, inputs, data_samples)

    def num_classes(self, head: Any) -> int:
        """Number of classes of a head, without the background."""
        return head.num_classes

    @abstractmethod
    def read(
        self, detector: Any, inputs: Tensor, data_samples: Sequence[DetDataSample]
    ) -> list[Candidates]:
        """Run the detector up to its scores; arguments as in the call."""


class DenseCandidateReader(CandidateReader):
    """A reader of heads on feature maps: of detectors and proposal networks."""

    def read(
        self, detector: Any, inputs: Tensor, data_samples: Sequence[DetDataSample]
    ) -> list[Candidates]:
        """Run the detector up to its scores; arguments as in the call."""
        features = detector.extract_feat(inputs)
        return self.read_head(detector.bbox_head, features, data_samples)

    @abstractmethod
    def read_head(
        self,
        head: Any,
        features: Sequence[Tensor],
        data_samples: Sequence[DetDataSample],
    ) -> list[Candidates]:
        """Run a head up to its scores.

        Args:
            head (Any): A head that this reader is registered for.
            features (Sequence[Tensor]): Level maps, each (B, C_l, H_l, W_l) float.
            data_samples (Sequence[DetDataSample]): B samples with ``img_shape``.

        Returns:
            list[Candidates]: The candidates of each image.
        """


@TASK_UTILS.register_module()
class AutoCandidateReader:
    """Reads any detector whose head has a registered reader.

    Options beside the class belong to one family: name its reader to set them,
    as :class:`TwoStageCandidateReader` for ``with_rpn``.

    Args:
        class_id (int | Sequence[int]): Target class, or several: each box is then a
            candidate of each. :class:`PatchAttacker` sets it from its ``target``.
            Defaults to 0.

    Raises:
        ValueError: If ``class_id`` is no integer from 0 on.
    """

    def __init__(self, class_id: int | Sequence[int] = 0) -> None:
        self.class_ids = checked_class_ids(self, class_id)

    def __call__(
        self, detector: Any, inputs: Tensor, data_samples: Sequence[DetDataSample]
    ) -> list[Candidates]:
        """Read with the reader of the head; as :meth:`CandidateReader.__call__`."""
        reader = find_reader(detection_head(detector))(class_id=self.class_ids)
        return reader(detector, inputs, data_samples)
