"""What a search asks of a tuned surrogate that it was not trained for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from ase.geometry import find_mic

from defectscout.core.defect import Defect, charge_text
from defectscout.learning.families import composition_of, familiarity
from defectscout.surrogates.model_folder import TrainedOn

Kind = Literal["elements", "bonds", "family", "charge", "method", "worse", "unproven"]
"""Elements, bonds, family of hosts, charge state or reference that training did not have; a model that did worse on
unseen frames than the one that it was made from; a model that did only partly better there, or was not judged."""


@dataclass(frozen=True, slots=True)
class Unfamiliar:
    """One thing that a search asks of a tuned surrogate, and training did not give.

    Attributes:
        kind: what it is.
        sentence: for a scientist.
    """

    kind: Kind
    sentence: str


_ON_THE_SITE: Final = 0.5
"""Å; an atom this near to the site is the one that was brought in."""

_SHELL: Final = 1.25
"""Atoms up to this many times the distance of the nearest one surround the site."""


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
        *_of_the_bonds(trained_on, defect),
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


def _of_the_bonds(trained_on: TrainedOn, defect: Defect) -> list[Unfamiliar]:
    """Bonds that neighbours of the site can form, and that no host of the training could have shown.

    A model that was tuned on CdTe and CdSe has met Te–Te and Se–Se, and meets Se–Te in their alloy for the first time
    (paper, section II D).
    """
    around = neighbouring_elements(defect)
    hosts = [set(composition_of(host)) for host in trained_on.hosts]
    seen = set(trained_on.elements).union(*hosts)
    new = [
        f"{first}–{second}"
        for first, second in combinations(around, 2)
        if {first, second} <= seen and not any({first, second} <= host for host in hosts)
    ]
    if not new:
        return []
    return [
        Unfamiliar(
            "bonds",
            f"No host that the surrogate was trained on holds both elements of {_enumerated(new)}: such "
            f"{'a bond' if len(new) == 1 else 'bonds'} may form here, and it has never been shown "
            f"{'one' if len(new) == 1 else 'any'}.",
        )
    ]


def neighbouring_elements(defect: Defect) -> tuple[str, ...]:
    """Elements of the atoms around a defect's site that can bond to each other there: the nearest, and its own."""
    displacements = defect.atoms.positions - defect.site @ defect.atoms.cell.array
    _, distances = find_mic(displacements, defect.atoms.cell, pbc=True)
    others = distances[distances > _ON_THE_SITE]
    near = distances <= _SHELL * others.min()
    return tuple(sorted({str(symbol) for symbol in defect.atoms.symbols[near]}))


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
