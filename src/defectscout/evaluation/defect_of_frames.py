"""The defect behind frames of it: its pristine supercell, its site, and its atoms on the host's sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from scipy.optimize import linear_sum_assignment

from defectscout.core.defect import UNPERTURBED, Defect, DefectKind, SamplingStructure
from defectscout.core.errors import CalculationError, DatasetError
from defectscout.core.frames import FloatArray
from defectscout.evaluation.placing import assigned, onto, squared_distances
from defectscout.evaluation.pristine import pristine_by_majority, tiled, tolerance_of
from defectscout.learning.frames import DefectId, SiteRecord
from defectscout.minima.symmetry import site_symmetry

SITE_TOLERANCE: Final = 1.0
"""Å within which a recorded site must lie on the host's site that it names."""

INTERSTITIAL_TOLERANCE: Final = 3.0
"""Å within which an additional atom must lie of its recorded site: it may be either atom of a split interstitial."""

_SYMPREC: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class _Changes:
    """What a structure has otherwise than the pristine supercell, as indices."""

    missing: tuple[int, ...]  # sites of the pristine supercell without an atom of their element
    extra: tuple[int, ...]  # atoms without a site of their element
    cost: float  # how far the structure is from the host's sites, Å², capped for each atom


def defect_of_frames(
    defect_id: DefectId,
    site: SiteRecord | None,
    starts: Sequence[SamplingStructure],
    ends: Sequence[Atoms],
    bulk: Sequence[Atoms],
) -> Defect:
    """Build the defect that frames belong to, so that fingerprints, bonds and displacements can be told.

    The pristine supercell is a bulk frame of the host, repeated and scaled into the defect's cell; where
    none fits (orientation, lattice, or there is none) it is the one that most of the frames' own atoms
    vote for (`pristine.pristine_by_majority`). It is compared with the least distorted
    start (`Unperturbed` where there is one): sites without an atom of their element are
    missing, atoms without such a site are extra. From these:

    - vacancies and substitutions: the atoms are the host's sites with those changes; the site is
      the changed site, or the centroid of several (divacancies, antisite pairs);
    - interstitials: the atoms are the least distorted start; the site is where the additional atom
      lies, or the host's site that it shares with the atom it pushed aside (split interstitials).

    Args:
        defect_id: which defect.
        site: where its site is known to lie; None to find it.
        starts: first frames of its relaxations, one composition and cell.
        ends: last frames of its relaxations, for the vote where the starts are rattled too much.
        bulk: frames of the pristine host, any cell of it.

    Returns:
        Multiplicity and excess charge are not known from frames (1 and 0). The site
        symmetry is that of the unperturbed defect, empty where the frames do not tell it
        (an interstitial without an `Unperturbed` start).

    Raises:
        DatasetError: no pristine supercell, or no changed site; the message says which.
    """
    starts = sorted(starts, key=lambda start: (not is_unperturbed(start.label), start.label))
    pristine = _pristine(defect_id, [start.atoms for start in starts], ends, bulk)
    tolerance = tolerance_of([pristine])
    motions = [onto(start.atoms, pristine, tolerance) for start in starts]
    usable = [
        (start.label, motion.apply(start.atoms, pristine.cell))
        for start, motion in zip(starts, motions, strict=True)
        if motion is not None
    ]
    if not usable:
        raise DatasetError(
            f"No start of {defect_id} lies on the sites of its host however they are moved, so that its site cannot be "
            f"found. Check that its frames are of {defect_id.host} and of this defect."
        )
    changes = [_changes(atoms, pristine) for _, atoms in usable]
    best = min(range(len(usable)), key=lambda i: (not is_unperturbed(usable[i][0]), changes[i].cost, usable[i][0]))
    label, least = usable[best]
    if site is not None:
        return _at_known_site(defect_id, site, least, label, pristine)
    return _at_changes(defect_id, changes[best], least, label, pristine)


def is_unperturbed(label: str) -> bool:
    """Whether a start keeps the host's sites, by its name."""
    return label.casefold().startswith(UNPERTURBED.casefold())


def _pristine(defect_id: DefectId, starts: Sequence[Atoms], ends: Sequence[Atoms], bulk: Sequence[Atoms]) -> Atoms:
    cell = starts[0].cell.array
    tolerance = tolerance_of([starts[0]])
    for frame in bulk:
        supercell = tiled(frame, cell)
        if supercell is None:
            continue
        for structure in (*starts[:3], *ends[:3]):
            motion = onto(supercell, structure, tolerance)
            if motion is not None:
                return motion.apply(supercell, structure.cell)
    for structure in (*starts[:1], *ends[:5], *starts[1:5]):
        found = pristine_by_majority(structure, tolerance_of([structure]))
        if found is not None and _formula(found) == _formula_of(defect_id.host):
            return found
    given = f"{len(bulk)} bulk frames of {defect_id.host}" if bulk else f"no bulk frame of {defect_id.host}"
    raise DatasetError(
        f"The pristine supercell of {defect_id} cannot be told: the dataset has {given} whose cell, repeated, is that "
        f"of its frames ({_cell(starts[0])}), and its frames repeat the host's cell too seldom, or are too distorted, "
        f"to show it themselves. Add a frame of the pristine supercell to the dataset."
    )


def _changes(atoms: Atoms, pristine: Atoms) -> _Changes:
    """Compare a structure with the pristine supercell that it lies over."""
    missing: list[int] = []
    extra: list[int] = []
    cost = 0.0
    limit = tolerance_of([pristine]) * 1.5
    for number in np.union1d(atoms.numbers, pristine.numbers):
        here = np.flatnonzero(pristine.numbers == number)
        there = np.flatnonzero(atoms.numbers == number)
        rows, columns, lengths = assigned(pristine.positions[here], atoms.positions[there], pristine.cell)
        left_sites = sorted(set(range(len(here))) - set(rows.tolist()))
        left_atoms = sorted(set(range(len(there))) - set(columns.tolist()))
        missing += [int(here[i]) for i in left_sites]
        extra += [int(there[i]) for i in left_atoms]
        cost += float(np.minimum(lengths, limit).dot(np.minimum(lengths, limit)))
    if not missing and not extra:  # the composition of the host: only atoms in wrong places can tell
        for number in np.unique(atoms.numbers):
            here = np.flatnonzero(pristine.numbers == number)
            there = np.flatnonzero(atoms.numbers == number)
            rows, columns, lengths = assigned(pristine.positions[here], atoms.positions[there], pristine.cell)
            far = lengths > limit
            missing += [int(i) for i in here[rows[far]]]
            extra += [int(i) for i in there[columns[far]]]
    return _Changes(tuple(missing), tuple(extra), cost)


def _at_changes(defect_id: DefectId, changes: _Changes, least: Atoms, label: str, pristine: Atoms) -> Defect:
    missing, extra = list(changes.missing), list(changes.extra)
    if not missing and not extra:
        raise DatasetError(
            f"The frames of {defect_id} have every atom on a site of the pristine {defect_id.host}, so that there is "
            f"no defect site to find. If they are frames of the pristine host, name their defect 'bulk'."
        )
    if missing:
        centre = _centroid(pristine.positions[missing], pristine)
    else:
        centre = _centroid(np.array([_place_of(atom, least, pristine) for atom in extra]), pristine)
    atoms = _on_sites(missing, extra, least, pristine)
    kind = DefectKind.INTERSTITIAL if not missing else DefectKind.SUBSTITUTION if extra else DefectKind.VACANCY
    known = atoms is not None or is_unperturbed(label)
    return _defect(defect_id, kind, least if atoms is None else atoms, pristine, centre, known)


def _at_known_site(defect_id: DefectId, site: SiteRecord, least: Atoms, label: str, pristine: Atoms) -> Defect:
    centre = np.asarray(pristine.cell.cartesian_positions(np.array(site.fractional)), dtype=float)
    kind = DefectKind(site.kind)
    changes = _changes(least, pristine)
    if not changes.missing:
        _check_interstitial(defect_id, site, centre, least.positions[list(changes.extra)], pristine)
        return _defect(defect_id, kind, least, pristine, centre, is_unperturbed(label))
    missing = list(changes.missing)
    if len(missing) == 1:
        number = pristine.numbers[missing[0]]
        like = np.flatnonzero(pristine.numbers == number)
        distances = np.sqrt(squared_distances(centre[None], pristine.positions[like], pristine.cell)[0])
        if distances.min() > SITE_TOLERANCE:
            raise DatasetError(
                f"The recorded site of {defect_id}, {_rounded(site.fractional)}, is {distances.min():.2f} Å away from "
                f"any site of {pristine[like[0]].symbol} in the frames. The record was made for another setting or "
                f"origin of the supercell; remove it, or correct it."
            )
        missing = [int(like[distances.argmin()])]
    atoms = _on_sites(missing, list(changes.extra), least, pristine)
    known = atoms is not None or is_unperturbed(label)
    return _defect(defect_id, kind, least if atoms is None else atoms, pristine, centre, known)


def _check_interstitial(
    defect_id: DefectId, site: SiteRecord, centre: FloatArray, extra: FloatArray, pristine: Atoms
) -> None:
    if not len(extra):
        return
    distance = float(np.sqrt(squared_distances(centre[None], extra, pristine.cell)).min())
    if distance > INTERSTITIAL_TOLERANCE:
        raise DatasetError(
            f"The recorded site of {defect_id}, {_rounded(site.fractional)}, is {distance:.2f} Å away from the "
            f"additional atom in its least distorted start. The record was made for another setting or origin of the "
            f"supercell; remove it, or correct it."
        )


def _on_sites(missing: list[int], extra: list[int], least: Atoms, pristine: Atoms) -> Atoms | None:
    """The host's sites with the changes; None where additional atoms have no site to sit on."""
    if len(extra) > len(missing):
        return None
    atoms = pristine.copy()
    taken: list[int] = []
    if extra:
        costs = squared_distances(pristine.positions[missing], least.positions[extra], pristine.cell)
        rows, columns = linear_sum_assignment(costs)
        for row, column in zip(rows, columns, strict=True):
            atoms.numbers[missing[row]] = least.numbers[extra[column]]
            taken.append(missing[row])
    del atoms[[index for index in missing if index not in taken]]
    return atoms


def _place_of(atom: int, least: Atoms, pristine: Atoms) -> FloatArray:
    """Where an interstitial sits: its own place, or the host's site that it shares with a displaced atom."""
    own = least.positions[atom]
    to_sites = squared_distances(least.positions, pristine.positions, pristine.cell)
    site = int(to_sites[atom].argmin())
    sharing = np.flatnonzero(to_sites.argmin(axis=1) == site)
    if len(sharing) > 1 and np.sqrt(to_sites[sharing, site]).min() > 0.5 * tolerance_of([pristine]):
        return np.asarray(pristine.positions[site], dtype=float)
    return np.asarray(own, dtype=float)


def _centroid(places: FloatArray, pristine: Atoms) -> FloatArray:
    vectors = find_mic(places - places[0], pristine.cell, pbc=True)[0]
    return np.asarray(places[0] + vectors.mean(axis=0), dtype=float)


def _defect(
    defect_id: DefectId, kind: DefectKind, atoms: Atoms, pristine: Atoms, centre: FloatArray, known: bool
) -> Defect:
    symmetry = ""
    if known:
        try:
            symmetry = site_symmetry(atoms, _SYMPREC)
        except CalculationError:
            symmetry = ""
    return Defect(
        name=defect_id.defect,
        charge=defect_id.charge,
        kind=kind,
        atoms=atoms,
        bulk=pristine,
        site=np.asarray(pristine.cell.scaled_positions(centre[None])[0] % 1.0, dtype=float),
        multiplicity=1,
        site_symmetry=symmetry,
        excess_charge=0,
    )


def _formula(atoms: Atoms) -> tuple[tuple[str, int], ...]:
    symbols = atoms.get_chemical_symbols()
    counts = {symbol: symbols.count(symbol) for symbol in sorted(set(symbols))}
    divisor = int(np.gcd.reduce(list(counts.values())))
    return tuple((symbol, count // divisor) for symbol, count in counts.items())


def _formula_of(host: str) -> tuple[tuple[str, int], ...]:
    try:
        return _formula(Atoms(host))
    except Exception as error:  # ASE raises a KeyError, a ValueError or an IndexError, depending on the text
        raise DatasetError(
            f"The host '{host}' is no chemical formula, so that its pristine supercell cannot be told from frames. "
            f"Give the host's reduced formula, such as CdTe."
        ) from error


def _rounded(fractional: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in fractional) + ")"


def _cell(atoms: Atoms) -> str:
    parameters = atoms.cell.cellpar()
    lengths = " × ".join(f"{length:.2f}" for length in parameters[:3])
    return f"{atoms.get_chemical_formula()}, {lengths} Å, {'/'.join(f'{angle:.1f}' for angle in parameters[3:])}°"
