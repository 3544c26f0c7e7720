"""What a search asks of a tuned surrogate that it was not trained for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from defectscout.core.defect import Defect, charge_text
from defectscout.learning.families import composition_of, familiarity
from defectscout.surrogates.model_folder import TrainedOn

Kind = Literal["elements", "family", "charge", "method", "worse", "unproven"]
"""Elements, family of hosts, charge state or reference that training did not have; a model that did worse on unseen
frames than the one that it was made from; a model that did only partly better there, or was not judged."""


@dataclass(frozen=True, slots=True)
class Unfamiliar:
    """One thing that a search asks of a tuned surrogate, and training did not give.

    Attributes:
        kind: what it is.
        sentence: for a scientist.
    """

    kind: Kind
    sentence: str


def unfamiliar(trained_on: TrainedOn, host: str, defect: Defect, reference: str) -> tuple[Unfamiliar, ...]:
    """What is new to a tuned surrogate in the search for one defect.

    Args:
        trained_on: what the surrogate has seen.
        host: formula of the host.
        defect: the defect; its charge state and the elements that the host does not have count.
        reference: name of the reference; `none` says nothing about the method, and is not compared.

    Raises:
        DatasetError: if a host is no formula.
    """
    return (
        *_of_the_verdict(trained_on),
        *_of_the_host(trained_on, host, sorted(set(defect.atoms.get_chemical_symbols()))),
        *_of_the_charge(trained_on, defect.charge),
        *_of_the_method(trained_on, reference),
    )


def _of_the_verdict(trained_on: TrainedOn) -> list[Unfamiliar]:
    said = {
        "worse": "The surrogate does worse on unseen frames than the model that it was made from, and counts as "
        "untouched.",
        "mixed": "On unseen frames the surrogate is only partly better than the model that it was made from.",
        "not judged": "The surrogate was not compared with the model that it was made from on unseen frames.",
    }
    if trained_on.verdict not in said:
        return []
    sentence = f"{said[trained_on.verdict]} {trained_on.finding}".rstrip()
    return [Unfamiliar("worse" if trained_on.verdict == "worse" else "unproven", sentence)]


def _of_the_host(trained_on: TrainedOn, host: str, symbols: Sequence[str]) -> list[Unfamiliar]:
    extrinsic = sorted(set(symbols) - set(composition_of(host)))
    known = familiarity(host, trained_on.elements, trained_on.hosts, extrinsic=extrinsic)
    found: list[Unfamiliar] = []
    if known.new_elements:
        new = _enumerated(known.new_elements)
        found.append(
            Unfamiliar(
                "elements",
                f"The surrogate's training frames have no {new}; of that it knows what the model that it was made "
                "from knew, or less.",
            )
        )
    if not known.family_known:
        nearest = "" if known.nearest_host is None else f"; the nearest is {known.nearest_host}"
        found.append(
            Unfamiliar(
                "family", f"The surrogate was trained on no host of the family of {host} ({known.family}){nearest}."
            )
        )
    return found


def _of_the_charge(trained_on: TrainedOn, charge: int) -> list[Unfamiliar]:
    # Without any charge state there was no defect, which SurrogateInfo.tuned says already.
    if charge in trained_on.charges or not trained_on.charges:
        return []
    states = "charge state" if len(trained_on.charges) == 1 else "charge states"
    seen = _enumerated([_signed(state) for state in trained_on.charges])
    return [Unfamiliar("charge", f"The surrogate was trained on defects in {states} {seen}, not {_signed(charge)}.")]


def _of_the_method(trained_on: TrainedOn, reference: str) -> list[Unfamiliar]:
    if reference == "none" or reference.casefold() == trained_on.method.casefold():
        return []
    return [
        Unfamiliar(
            "method",
            f"The surrogate learned the surface of {trained_on.method}, and the reference is {reference}: it may lack "
            "minima that the reference has.",
        )
    ]


def _signed(charge: int) -> str:
    return charge_text(charge).replace("-", "−")


def _enumerated(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
