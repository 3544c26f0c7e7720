"""Which elements a surrogate was trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from defectscout.core.errors import UnsupportedElementError
from defectscout.surrogates.base import SurrogateInfo


def check_elements(info: SurrogateInfo, symbols: Sequence[str]) -> None:
    """Raise UnsupportedElementError if the surrogate was not trained on one of `symbols`.

    Passes where the surrogate's elements are not known (`info.elements` is None).
    """
    if info.elements is not None:
        check_known(info.name, info.elements, symbols)


def check_known(name: str, known: Collection[str], symbols: Iterable[str]) -> None:
    """Raise UnsupportedElementError if the model `name`, which knows the elements `known`, lacks one of `symbols`."""
    unknown = sorted(set(symbols) - set(known))
    if unknown:
        raise UnsupportedElementError(
            f"The surrogate {name} was not trained on {', '.join(unknown)} "
            f"(it knows {len(known)} elements). Choose a surrogate that knows "
            f"{'it' if len(unknown) == 1 else 'them'}, or search with the reference alone."
        )
