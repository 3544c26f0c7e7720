"""Structures of one defect to look at: unperturbed, relaxed, every minimum or candidate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from defectscout.core.defect import UNPERTURBED, Bond, Defect
from defectscout.core.frames import RelaxationState
from defectscout.minima.alignment import aligned_positions
from defectscout.minima.bonds import new_bonds
from defectscout.reporting.report.document import Model
from defectscout.reporting.wording import bonds_text, place_text, rank_text, short_label, symmetry_text
from defectscout.workflow.overview import DefectOverview, Descent
from defectscout.workflow.record import REFERENCE, SCOUT
from defectscout.workflow.results import RankedMinimum


def models(key: str, item: DefectOverview) -> tuple[Model, ...]:
    """The unperturbed structure first, then minima, the ground state first.

    All lie in the frame of the unperturbed supercell: without drift, and each atom at the image nearest to its place
    there. Where the reference has answered nothing yet, the candidates stand in for minima.

    Args:
        key: of the defect's section.
        item: the defect.
    """
    shown = [_model(item.defect, f"{key}-unperturbed", "Unperturbed, as made", _as_made(item), item.defect.atoms, ())]
    relaxed = _relaxed_unperturbed(item)
    if relaxed is not None:
        shown.append(relaxed_model(key, item, relaxed))
    shown += [_minimum_model(key, item, minimum) for minimum in item.result.minima]
    if not item.result.minima:
        shown += _candidates(key, item)
    return tuple(shown)


def overlaid(defect: Defect, atoms: Atoms) -> tuple[Atoms, np.ndarray]:
    """A structure laid over the unperturbed supercell, and how far each atom lies from its place there (Å)."""
    places = atoms.cell.cartesian_positions(defect.atoms.get_scaled_positions(wrap=False))
    vectors, lengths = find_mic(aligned_positions(defect, atoms) - places, atoms.cell, pbc=True)
    moved = Atoms(numbers=atoms.numbers, positions=places + vectors, cell=atoms.cell, pbc=True)
    return moved, np.asarray(lengths, dtype=float)


def relaxed_model(key: str, item: DefectOverview, descent: Descent) -> Model:
    """The unperturbed structure as the reference relaxed it, where it is no minimum's own structure."""
    assert descent.final is not None
    minimum = next((one for one in item.result.minima if one.rank == descent.rank), None)
    end = f"ends in: {place_text(item, minimum.rank)}" if minimum is not None else f"{descent.state.value}"
    bonds = new_bonds(item.defect, descent.final)
    return _model(
        item.defect, f"{key}-unperturbed-relaxed", "Unperturbed, relaxed",
        f"the reference's relaxation of the unperturbed structure {end}", descent.final, bonds,
    )  # fmt: skip


def _as_made(item: DefectOverview) -> str:
    return f"before any relaxation; {item.result.symmetry_before}"


def _relaxed_unperturbed(item: DefectOverview) -> Descent | None:
    """Its relaxation with the reference, unless a minimum is shown by that very structure."""
    if any(minimum.minimum.representative == UNPERTURBED for minimum in item.result.minima):
        return None
    set_aside = {label for label, _ in item.result.set_aside}
    ends = (RelaxationState.CONVERGED, RelaxationState.UNCONVERGED)
    return next(
        (
            descent
            for descent in item.descents
            if descent.label == UNPERTURBED
            and descent.stage == REFERENCE
            and descent.state in ends
            and descent.final is not None
            and descent.label not in set_aside
        ),
        None,
    )


def _minimum_model(key: str, item: DefectOverview, minimum: RankedMinimum) -> Model:
    words = [
        f"{minimum.relative_energy:.3f} eV above the lowest" if minimum.rank else "",
        ""
        if minimum.lowering is None or UNPERTURBED in minimum.candidates
        else f"{minimum.lowering:+.3f} eV against the relaxed unperturbed structure",
        f"new bonds: {bonds_text(minimum)}",
        symmetry_text(minimum, item.result.symmetry_before),
        "" if minimum.minimum.converged else "not converged",
    ]
    name = rank_text(minimum.rank)
    title = place_text(item, minimum.rank)
    if UNPERTURBED in minimum.candidates:
        title += ": the unperturbed structure, relaxed"
    return _model(
        item.defect, f"{key}-{name.replace(' ', '-')}", title[0].upper() + title[1:],
        "; ".join(word for word in words if word), minimum.minimum.atoms, minimum.minimum.new_bonds,
    )  # fmt: skip


def _candidates(key: str, item: DefectOverview) -> Iterator[Model]:
    """What is to go to the reference: as the surrogate left it, or as sampled."""
    candidates = item.result.candidates.candidates
    energies = [one.surrogate_energy for one in candidates if one.surrogate_energy is not None]
    scouted = {descent.label: descent for descent in item.descents if descent.stage == SCOUT}
    sampled = {structure.label: structure.atoms for structure in item.sampling}
    for candidate in candidates:
        if candidate.label == UNPERTURBED:
            continue
        descent = scouted.get(candidate.label)
        atoms = descent.final if descent is not None and descent.final is not None else sampled.get(candidate.label)
        if atoms is None:
            continue
        energy = candidate.surrogate_energy
        caption = (
            "as sampled, not relaxed"
            if descent is None
            else "relaxed with the surrogate"
            if energy is None
            else f"{energy - min(energies):.3f} eV above the lowest on the surrogate's surface, which ranks nothing"
        )
        bonds = new_bonds(item.defect, atoms)
        text = ", ".join(str(bond) for bond in bonds) or "none near"
        yield _model(
            item.defect, f"{key}-candidate-{_plain(candidate.label)}", f"Candidate {short_label(candidate.label)}",
            f"{caption}; new bonds: {text}", atoms, bonds,
        )  # fmt: skip


def _plain(label: str) -> str:
    from defectscout.reporting.report.names import key_of

    return key_of(short_label(label))


def _model(defect: Defect, key: str, title: str, caption: str, atoms: Atoms, bonds: Sequence[Bond]) -> Model:
    moved, lengths = overlaid(defect, atoms)
    site = np.asarray(atoms.cell.cartesian_positions(defect.site), dtype=float)
    return Model(key, title, caption, moved, site, lengths, tuple(bonds))
