"""Campaigns as `read_overview` would give them, put together from structures made by hand: nothing is relaxed.

Give `defect_overview` the minima of a defect as (structure, energy, starts that led there); new bonds, point groups,
ranks and lowerings are worked out by the functions that a search uses:

    defect = vacancy()                              # minima/vacancy_cases.py, or one of `made`
    item = defect_overview(defect, [
        (dimer(defect), -1.0, ("Dimer", "Rattled")),
        (breathing(defect), -0.25, ("Unperturbed",)),
    ])
    seen = overview("CdTe", [item], oxidation_states={"Cd": 2, "Te": -2})
    item.ground_state.lowering                      # -0.75
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from pymatgen.core import Lattice, Structure

from defectscout.core.defect import UNPERTURBED, Defect, Minimum, SamplingStructure
from defectscout.core.frames import RelaxationState
from defectscout.defects.generate import generate_defects
from defectscout.defects.oxidation import element_oxidation_states
from defectscout.defects.settings import DefectSettings
from defectscout.evaluation.confidence import Confidence, Level
from defectscout.evaluation.funnel import Funnel
from defectscout.evaluation.trust import Trust
from defectscout.hosts.settings import SupercellSettings
from defectscout.hosts.supercell import choose_supercell
from defectscout.hosts.symmetry import symmetry_dataset
from defectscout.minima.bonds import new_bonds
from defectscout.minima.symmetry import site_symmetry
from defectscout.references.base import ReferenceInfo
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.overview import Cost, DefectOverview, Descent, Overview
from defectscout.workflow.record import REFERENCE, SCOUT
from defectscout.workflow.results import DefectResult, RankedMinimum
from defectscout.workflow.settings import SearchSettings, Strategy, merge
from defectscout.workflow.stages.candidates import Candidate, DefectCandidates, Origin
from defectscout.workflow.stages.host import HostReport

SYMPREC = 0.1
"""Å, the default of a search."""

STEPS = 5
"""Ionic steps of a descent that is made up."""

Found = tuple[Atoms, float, Sequence[str]]
"""Structure, energy (eV), and the labels of the sampling structures that led there."""


def defect_overview(
    defect: Defect,
    minima: Sequence[Found] = (),
    descents: Sequence[Descent] | None = None,
    *,
    strategy: Strategy = "reference-only",
    sampling: Sequence[SamplingStructure] | None = None,
    cost: Cost | None = None,
    step: str = "",
    confidence: Confidence | Level = "high",
    set_aside: Sequence[tuple[str, str]] = (),
    unconverged: Sequence[str] = (),
    trust: Trust | None = None,
) -> DefectOverview:
    """One defect and what its search has found.

    Args:
        defect: the defect.
        minima: in any order. The one that `Unperturbed` led to is the zero of lowerings; without it they are None.
        descents: its relaxations; None makes up one reference relaxation for each start (`reference-only`) or for
            the first start of each minimum, and one scouting relaxation for each start (`scout`, `learn`), see
            `descent`.
        strategy: `reference-only` has a candidate for each start, the others one for each minimum, which stands for
            all its starts, besides `Unperturbed`, which is always its own.
        sampling: sampling structures; None makes up one for each start, all in the unperturbed structure.
        cost: what was spent; None adds up the descents.
        step: what the search waits for; empty if it has finished.
        confidence: level, or level and reasons.
        set_aside: label and reason of what failed.
        unconverged: starts whose minimum did not converge.
        trust: of a learning loop.
    """
    symmetry = site_symmetry(defect.atoms, SYMPREC)
    ranked = _ranked(defect, minima, strategy, unconverged)
    starts = tuple(dict.fromkeys([UNPERTURBED, *(start for item in ranked for start in item.sampled_by)]))
    structures = (
        tuple(SamplingStructure(start, defect.atoms.copy()) for start in starts)
        if sampling is None
        else tuple(sampling)
    )
    relaxed = _descents(ranked, strategy) if descents is None else tuple(descents)
    origin = {"reference-only": Origin.SAMPLED, "learn": Origin.LEARNED}.get(strategy, Origin.SCOUTED)
    candidates = tuple(
        Candidate(label, members, Origin.SAMPLED if label == UNPERTURBED and strategy != "learn" else origin, None)
        for item in ranked
        for label, members in _members(item.sampled_by, strategy)
    )
    spent = cost if cost is not None else added_up(relaxed)
    scouts = [one for one in relaxed if one.stage == SCOUT]
    result = DefectResult(
        defect=defect,
        symmetry_before=symmetry,
        minima=ranked,
        candidates=DefectCandidates(candidates, n_minima=len(ranked) if scouts else 0),
        set_aside=tuple(set_aside),
        funnel=Funnel(
            sampling=len(structures),
            scouted=len(scouts),
            failed=sum(one.state is RelaxationState.FAILED for one in relaxed),
            flagged=0,
            candidates=len(candidates),
            reference_relaxations=sum(one.stage != SCOUT and one.state.is_finished for one in relaxed),
            minima=len(ranked),
            surrogate_calls=spent.surrogate_calls,
            reference_calls=spent.reference_calls,
        ),
        agreement=None,
        confidence=confidence if isinstance(confidence, Confidence) else Confidence(confidence, (f"{confidence}.",)),
        state=None,
        trust=trust,
    )
    return DefectOverview(result, relaxed, structures, spent, finished=not step, step=step)


def minimum(defect: Defect, atoms: Atoms, energy: float = 0.0, starts: Sequence[str] = (UNPERTURBED,)) -> Minimum:
    """A minimum with its bonds and its point group, worked out as in a search."""
    return Minimum(
        representative=starts[0],
        members=tuple(starts),
        atoms=atoms,
        energy=energy,
        new_bonds=new_bonds(defect, atoms),
        site_symmetry=site_symmetry(atoms, SYMPREC),
    )


def descent(
    label: str,
    energies: Sequence[float],
    stage: str = REFERENCE,
    state: RelaxationState = RelaxationState.CONVERGED,
    *,
    reason: str = "",
    rank: int | None = None,
    final: Atoms | None = None,
    calls: int | None = None,
    seconds: float | None = None,
) -> Descent:
    """One relaxation whose every step was kept, at one force call and 2 s (reference) or 0.1 s a step."""
    calls = len(energies) if calls is None else calls
    return Descent(
        label=label,
        stage=stage,
        state=state,
        reason=reason,
        steps=tuple(range(len(energies))),
        energies=np.array(energies, dtype=float),
        calls=calls,
        seconds=calls * (0.1 if stage == SCOUT else 2.0) if seconds is None else seconds,
        rank=rank,
        final=final,
    )


def added_up(descents: Sequence[Descent]) -> Cost:
    """What some relaxations took."""
    scouts = [one for one in descents if one.stage == SCOUT]
    others = [one for one in descents if one.stage != SCOUT]
    return Cost(
        reference_calls=sum(one.calls for one in others),
        reference_seconds=sum(one.seconds for one in others),
        surrogate_calls=sum(one.calls for one in scouts),
        surrogate_seconds=sum(one.seconds for one in scouts),
        tuning_seconds=0.0,
    )


def overview(
    formula: str,
    defects: Sequence[DefectOverview],
    *,
    strategy: Strategy = "reference-only",
    oxidation_states: Mapping[str, float] | None = None,
    space_group: str = "P1",
    folder: Path | None = None,
    settings: SearchSettings | None = None,
    seconds: float | None = None,
    host_calls: int = 20,
    notes: Sequence[str] = (),
) -> Overview:
    """A campaign of these defects, whose pristine supercell is that of the first.

    Args:
        formula: of the host.
        defects: at least one; see `defect_overview`, and give it the same strategy.
        strategy: of the search.
        oxidation_states: None takes those of doped's entries, where the defects have them (see `made`).
        space_group: of the host.
        folder: where it seems to lie; nothing is there.
        settings: None takes the defaults with this strategy.
        seconds: wall time; None adds up what the defects took.
        host_calls: reference force calls spent on the host.
        notes: what could not be read.
    """
    bulk = defects[0].defect.bulk
    matrix = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    image_distance = float(min(bulk.cell.lengths()))
    scouting = strategy != "reference-only"
    costs = [item.cost for item in defects]
    spent = sum(cost.reference_seconds + cost.surrogate_seconds + cost.tuning_seconds for cost in costs)
    return Overview(
        folder=folder or Path("campaigns") / formula,
        source=f"{formula}.cif",
        settings=merge(settings or SearchSettings(), {"strategy": strategy}, "test"),
        packages={"defectscout": "0.0", "ase": "3.26.0"},
        host=HostReport(formula, space_group, matrix, len(bulk), image_distance, energy=0.0, evaluations=host_calls),
        bulk=bulk,
        oxidation_states=_states(defects) if oxidation_states is None else oxidation_states,
        surrogate=SurrogateInfo("model", "made up 1.0", "1", "10.0/surrogate", None) if scouting else None,
        reference=ReferenceInfo("model", "made up 1.0", "10.0/reference", gamma_only=True),
        defects={item.defect.label: item for item in defects},
        host_calls=host_calls,
        seconds=spent if seconds is None else seconds,
        finished=all(item.finished for item in defects),
        notes=tuple(notes),
    )


@cache
def made(
    host: str,
    *select: str,
    charges: tuple[int, ...] = (0,),
    distance: float = 10.0,
    extrinsic: tuple[str, ...] = (),
) -> tuple[Defect, ...]:
    """Defects of one of `HOSTS` as a search makes them, supercell and all, in the host's cell as it stands.

    Args:
        host: formula.
        select: patterns, such as `v_Cd`.
        charges: charge states of each.
        distance: least distance between periodic images, Å.
        extrinsic: elements of impurities.
    """
    structure = HOSTS[host]
    settings = SupercellSettings(min_image_distance=distance, min_atoms=1)
    supercell = choose_supercell(structure.get_primitive_structure(), settings, host, 0.01)
    return generate_defects(supercell, DefectSettings(select=select, charges=charges, extrinsic=extrinsic))


def crystal(group: str, lattice: Lattice, symbols: Sequence[str], sites: Sequence[Sequence[float]]) -> Structure:
    """A crystal of a space group, and a check that it has it."""
    structure = Structure.from_spacegroup(group, lattice, symbols, sites)
    kept = symmetry_dataset(structure, 0.01).international
    assert kept == group, f"{structure.composition.reduced_formula} has {kept}, not {group}"
    return structure


HOSTS: Mapping[str, Structure] = {
    "CdTe": crystal("F-43m", Lattice.cubic(6.54), ["Cd", "Te"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "GaCuS2": crystal(
        "I-42d",
        Lattice.tetragonal(5.31, 10.52),
        ["Ga", "Cu", "S"],
        [[0.5, 0.5, 0], [0.5, 0, 0.75], [0.25, 0.25, 0.625]],
    ),
    "GaAgS2": crystal(
        "I-42d",
        Lattice.tetragonal(5.75, 10.39),
        ["Ga", "Ag", "S"],
        [[0.5, 0, 0.25], [0, 0.5, 0.25], [0.25, 0.288, 0.875]],
    ),
    # Every Se belongs to an Se–Se pair, and every Rh has six Se, of six pairs.
    "RhSe2": crystal("Pa-3", Lattice.cubic(6.05), ["Rh", "Se"], [[0, 0.5, 0.5], [0.377, 0.123, 0.877]]),
    "Sb2S3": crystal(
        "Pnma",
        Lattice.orthorhombic(11.8, 3.845, 11.367),
        ["Sb", "Sb", "S", "S", "S"],
        [[0.857, 0.75, 0.466], [0.967, 0.25, 0.173], [0.876, 0.75, 0.0615], [0.0485, 0.75, 0.379], [0.3, 0.25, 0.1885]],
    ),
    "Li4SnS4": crystal(
        "Pnma",
        Lattice.orthorhombic(14.22, 7.873, 6.336),
        ["Li", "Li", "Li", "Sn", "S", "S", "S"],
        [
            [0, 0.5, 0], [0.59, 0.75, 0.873], [0.822, 0.505, 0.8215], [0.9086, 0.75, 0.357],
            [0.918, 0.75, 0.7345], [0.84, 0.499, 0.213], [0.57, 0.75, 0.264],
        ],
    ),
    "Se": crystal("P3_121", Lattice.hexagonal(4.37, 4.95), ["Se"], [[0.225, 0, 1 / 3]]),
}  # fmt: skip
"""Cells of the paper's hosts, coordinates rounded: near their lowest energy, and not at it."""


def brought_together(
    defect: Defect, pairs: Sequence[tuple[int, int]], length: float, atoms: Atoms | None = None
) -> Atoms:
    """Both atoms of each pair moved along the line between them until they are `length` apart, Å.

    Args:
        defect: gives the unperturbed structure.
        pairs: indices.
        length: of the new bonds, Å.
        atoms: a structure to begin with instead of the unperturbed one.
    """
    moved = (defect.atoms if atoms is None else atoms).copy()
    for first, second in pairs:
        moved.set_distance(first, second, length, fix=0.5, mic=True)
    return moved


def _states(defects: Sequence[DefectOverview]) -> dict[str, float]:
    entry = defects[0].defect.entry
    return element_oxidation_states(entry) if entry is not None else {}


def _ranked(
    defect: Defect, minima: Sequence[Found], strategy: Strategy, unconverged: Sequence[str]
) -> tuple[RankedMinimum, ...]:
    ordered = sorted(minima, key=lambda item: item[1])
    zero = next((energy for _, energy, starts in ordered if UNPERTURBED in starts), None)
    ranked = []
    for rank, (atoms, energy, starts) in enumerate(ordered):
        labels = tuple(label for label, _ in _members(starts, strategy))
        ranked.append(
            RankedMinimum(
                rank=rank,
                minimum=Minimum(
                    representative=labels[0],
                    members=labels,
                    atoms=atoms,
                    energy=energy,
                    new_bonds=new_bonds(defect, atoms),
                    site_symmetry=site_symmetry(atoms, SYMPREC),
                    converged=not set(starts) & set(unconverged),
                ),
                candidates=labels,
                sampled_by=tuple(starts),
                relative_energy=energy - ordered[0][1],
                lowering=energy - zero if zero is not None else None,
                surrogate_energy=None,
            )
        )
    return tuple(ranked)


def _members(starts: Sequence[str], strategy: Strategy) -> list[tuple[str, tuple[str, ...]]]:
    """Label and members of each candidate that the starts of one minimum give."""
    if strategy == "reference-only":
        return [(start, (start,)) for start in starts]
    others = tuple(start for start in starts if start != UNPERTURBED)
    alone = [(UNPERTURBED, (UNPERTURBED,))] if UNPERTURBED in starts else []
    return alone + ([(others[0], others)] if others else [])


def _descents(ranked: Sequence[RankedMinimum], strategy: Strategy) -> tuple[Descent, ...]:
    """Energies fall by 1 eV; scouting is on another scale, and tells no rank."""
    scouts = [
        descent(start, item.minimum.energy - 7.0 + np.linspace(1.0, 0.0, STEPS), SCOUT, final=item.minimum.atoms)
        for item in ranked
        for start in item.sampled_by
        if strategy != "reference-only"
    ]
    answers = [
        descent(
            label,
            item.minimum.energy + np.linspace(1.0, 0.0, STEPS),
            state=RelaxationState.CONVERGED if item.minimum.converged else RelaxationState.UNCONVERGED,
            reason="" if item.minimum.converged else "step limit",
            rank=item.rank,
            final=item.minimum.atoms,
        )
        for item in ranked
        for label in item.candidates
    ]
    return (*scouts, *answers)
