"""Which stored surrogate to start from for a new host.

The rule. A model is offered if it learned the same reference in the same charge state, did not do worse than the
untouched model, and its host is related to the new one:

- it was tuned on a host of the new one's family (`learning.families`: CdTe, CdSe and ZnTe are II-VI); or
- its host has the new one's structure type, and each element of the new host is one that it was tuned on or has one
  in its group (a model that was tuned on GaN and ZnO, and their alloy).

An element that tuning has not seen excludes nothing by itself: what the untouched model knows of it stays in the
tuned one. A host of another family does: tuning bends what the model says of bonds that are not like those it saw.
Of the offered the one of the nearest composition comes first (`learning.families.composition_distance`); of equals the
one of the same structure type, then that of more frames, then the newest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from defectscout.core.defect import Host, charge_text
from defectscout.core.errors import ModelFileError
from defectscout.core.progress import Progress
from defectscout.learning.families import (
    composition_distance,
    composition_of,
    family_of,
    group_of,
    valence_class,
)
from defectscout.workflow.store import read_store
from defectscout.workflow.store_entry import StoredModel

if TYPE_CHECKING:
    from pymatgen.core import Structure

MOST_SITES: Final = 100
"""Sites of a primitive cell up to which structures are mapped on each other; of larger ones (alloys) the space groups
are compared."""

SYMPREC: Final = 0.01
"""Tolerance of the space groups, Å."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A stored model, and how near it is to a new host.

    Attributes:
        model: the stored model.
        distance: of the nearest composition that it was tuned on, see `learning.families.composition_distance`.
        nearest_host: the formula of that composition.
        same_structure: whether its host and the new one are of one structure type.
        same_family: whether it was tuned on a host of the new one's family.
        new_elements: symbols of the new host that it was not tuned on, sorted.
        against: why it is not offered; empty if it is.
        sentence: all of this in words.
    """

    model: StoredModel
    distance: float
    nearest_host: str
    same_structure: bool
    same_family: bool
    new_elements: tuple[str, ...]
    against: str
    sentence: str

    @property
    def is_offered(self) -> bool:
        """Whether it is near enough to start from."""
        return not self.against


def nearest(models: Sequence[StoredModel], host: Host | Structure, charge: int, method: str) -> tuple[Offer, ...]:
    """All models, the best to start from first; those that are not offered come last, and say why not.

    Args:
        models: of the store.
        host: the new host, or its primitive cell.
        charge: charge state of its defects.
        method: the reference, such as `gfn1-xtb`.
    """
    primitive = host.primitive if isinstance(host, Host) else host
    offers = [_offer(model, primitive, charge, method) for model in models]
    offers.sort(key=lambda offer: offer.model.name)
    offers.sort(key=lambda offer: offer.model.date, reverse=True)
    return tuple(sorted(offers, key=_rank))


def best_offer(models: Sequence[StoredModel], host: Host | Structure, charge: int, method: str) -> Offer | None:
    """The model to start from; None if none is near enough."""
    return next((offer for offer in nearest(models, host, charge, method) if offer.is_offered), None)


def resolve_nearest(
    host: Host | Structure,
    charges: Sequence[int],
    method: str,
    store: Path | None = None,
    progress: Progress | None = None,
) -> Offer | None:
    """What `--surrogate nearest` stands for: the model of the store to start from, or None.

    Where several charge states are searched together the nearest model of any of them is taken; of equals that of the
    charge state nearest to neutral.

    Args:
        host: the new host, or its primitive cell.
        charges: charge states of its defects.
        method: the reference, such as `gfn1-xtb`.
        store: folder of the store; None for `store_folder()`.
        progress: told about entries that cannot be used.

    Raises:
        InputFileError: if the store cannot be read.
    """
    content = read_store(store)
    for entry in content.damaged:
        if progress is not None:
            progress.warn(entry.sentence)
    ordered = sorted(dict.fromkeys(charges), key=lambda charge: (abs(charge), charge))
    offers = [best_offer(content.models, host, charge, method) for charge in ordered]
    return min((offer for offer in offers if offer is not None), key=_rank, default=None)


def same_structure_type(first: Structure, second: Structure) -> bool:
    """Whether two primitive cells are of one structure type, whatever their elements and volumes.

    Sites are mapped on sites by pymatgen's StructureMatcher with its own tolerances. The space group alone says too
    little (Pnma has thousands of types) and too much (a polar distortion makes SbSBr Pna2_1, SbSI is Pnma); it is
    used for cells with more than `MOST_SITES` sites.
    """
    if len(first) != len(second) or first.composition.anonymized_formula != second.composition.anonymized_formula:
        return False
    if len(first) > MOST_SITES:
        return _space_group(first) == _space_group(second) != 1
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(primitive_cell=False, attempt_supercell=False)
    return bool(matcher.fit_anonymous(first, second))


def _space_group(structure: Structure) -> int:
    from defectscout.hosts.symmetry import symmetry_dataset

    return int(symmetry_dataset(structure, SYMPREC).number)


def _rank(offer: Offer) -> tuple[bool, float, bool, int]:
    return not offer.is_offered, round(offer.distance, 9), not offer.same_structure, -offer.model.n_frames


def _offer(model: StoredModel, host: Structure, charge: int, method: str) -> Offer:
    formula = str(host.composition.reduced_formula)
    # On equal distance the entry's own host, which is the first.
    trained = min(model.hosts, key=lambda other: round(composition_distance(formula, other), 9))
    new = tuple(sorted(set(composition_of(formula)) - set(model.elements)))
    family = family_of(formula)
    same_family = family in {family_of(other) for other in model.hosts}
    try:
        same_structure = same_structure_type(model.host(), host)
        unreadable = ""
    except ModelFileError as error:
        same_structure, unreadable = False, f"its host cannot be read ({str(error).rstrip('.')})"
    groups = {group_of(symbol) for symbol in model.elements}
    related = same_family or (same_structure and all(group_of(symbol) in groups for symbol in new))
    against = [unreadable] if unreadable else []
    if model.method != method:
        against.append(f"it learned another reference ({model.method}, not {method})")
    if model.charge != charge:
        against.append(f"it learned another charge state ({charge_text(model.charge)}, not {charge_text(charge)})")
    if model.verdict == "worse":
        against.append("it did worse than the untouched model on frames that it was not trained on")
    if not related:
        against.append(f"{model.formula} ({family_of(model.formula)}) is of another family than {formula} ({family})")
    likeness = _likeness(formula, trained, model, same_structure)
    return Offer(
        model=model,
        distance=composition_distance(formula, trained),
        nearest_host=trained,
        same_structure=same_structure,
        same_family=same_family,
        new_elements=new,
        against="; ".join(against),
        sentence=_sentence(model, likeness, against),
    )


def _sentence(model: StoredModel, likeness: str, against: Sequence[str]) -> str:
    what = ", ".join(_bare(label, model.charge) for label in model.defects) or "defects"
    frames = f"{model.n_frames} frames" if model.n_frames else "frames not kept"
    of = f"{model.formula} ({frames}, {model.method}, charge {charge_text(model.charge)})"
    tuned = f"{model.name} was tuned on {what} of {of}"
    return f"{tuned}: not offered, {'; '.join(against)}" if against else f"{tuned}: {likeness}"


def _likeness(formula: str, trained: str, model: StoredModel, same_structure: bool) -> str:
    structure = "the same structure type" if same_structure else "another structure type"
    via = "" if trained == model.formula else f"also on {trained}, "
    if composition_distance(formula, trained) < 1e-9:
        return f"{via}the same composition, {structure}"
    here, there = composition_of(formula), composition_of(trained)
    spare = [symbol for symbol in there if symbol not in here]
    changes = []
    for symbol in (symbol for symbol in here if symbol not in there):
        kin = next((other for other in spare if valence_class(other) == valence_class(symbol)), None)
        if kin is None:
            changes.append(f"{symbol} besides")
            continue
        spare.remove(kin)
        bond = "same group" if group_of(kin) == group_of(symbol) else "as many valence electrons"
        changes.append(f"{symbol} in place of {kin} ({bond})")
    changes += [f"no {symbol}" for symbol in spare]
    return f"{via}{structure}, {', '.join(changes) or 'the same elements in another ratio'}"


def _bare(label: str, charge: int) -> str:
    """A defect's label without the charge, which the sentence gives once."""
    return label.removesuffix(f"_{charge_text(charge)}")
