"""Which elements a surrogate was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from defectscout.core.errors import UnsupportedElementError
from defectscout.surrogates.base import SurrogateInfo


def check_elements(info: SurrogateInfo, symbols: Sequence[str]) -> None:
    """Raise UnsupportedElementError if the surrogate was not trained on one of `symbols`.

    Passes where the surrogate's elements are not known (`info.elements` is None).
    """
    if info.elements is None:
        return
    unknown = sorted(set(symbols) - info.elements)
    if unknown:
        raise UnsupportedElementError(
            f"The surrogate {info.name} was not trained on {', '.join(unknown)} "
            f"(it knows {len(info.elements)} elements). Choose a surrogate that knows "
            f"{'it' if len(unknown) == 1 else 'them'}, or search with the reference alone."
        )
