"""What an evaluation takes from that of the clean images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Reference:
    """Thresholds that belong to the clean detector, whatever is pasted.

    Among the numbers of an evaluation they have the same names.

    Attributes:
        calibrated_delta (float): Score threshold behind ``@calibrated``, in [0, 1]; NaN
            if clean images never reach the precision.
        margin_low (float): Lowest margin s of the clean images' detections, where the
            range of AF_beta begins; NaN if there is none.
        margin_high (float): Highest one, where it ends; NaN if there is none.

    Raises:
        ValueError: If a value is outside its range; names it.
    """

    calibrated_delta: float
    margin_low: float
    margin_high: float

    def __post_init__(self) -> None:
        if not (math.isnan(self.calibrated_delta) or 0 <= self.calibrated_delta <= 1):
            raise ValueError(
                f'calibrated_delta must lie in [0, 1], got {self.calibrated_delta}'
            )
        ends = (self.margin_low, self.margin_high)
        ordered = all(map(math.isfinite, ends)) and ends[0] <= ends[1]
        if not (ordered or all(map(math.isnan, ends))):
            raise ValueError(
                'margin_low <= margin_high must be finite, or NaN both, got '
                f'{ends[0]} and {ends[1]}'
            )

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any], head: str = '') -> Reference:
        """Those of an evaluation, among its numbers.

        Args:
            numbers (Mapping[str, Any]): Number by name; None, or 'nan' in a config
                file, is NaN. Others are passed over.
            head (str): What stands before each name. Defaults to ''.

        Raises:
            ValueError: If one is missing.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if f'{head}{name}' not in numbers]
        if missing:
            raise ValueError(
                f'a reference has {", ".join(names)} of the clean images; there is no '
                f'{", ".join(missing)}'
            )
        values = [numbers[f'{head}{name}'] for name in names]
        return cls(*(math.nan if v is None else float(v) for v in values))

    @classmethod
    def from_config(
        cls, value: Reference | Mapping[str, Any] | None
    ) -> Reference | None:
        """One that is given to a metric: a dict of the three, 'nan' for NaN, or None.

        Raises:
            ValueError: If a key is missing or unknown.
        """
        if value is None or isinstance(value, Reference):
            return value
        unknown = set(value) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f'a reference has no {", ".join(sorted(unknown))}')
        return cls.from_numbers(value)

    def to_config(self) -> dict[str, float | str]:
        """As a config file has it, which has no NaN."""
        return {
            key: 'nan' if math.isnan(value) else value
            for key, value in asdict(self).items()
        }
