"""Sampling structures of one defect."""

from __future__ import annotations

from dataclasses import dataclass

from defectscout.core.defect import UNPERTURBED, Defect, DefectKind, SamplingStructure
from defectscout.sampling.distortions import (
    SHAKENBREAK_DISTORTIONS,
    Distortion,
    distort,
    n_distorted_neighbours,
)
from defectscout.sampling.folder import read_folder
from defectscout.sampling.geometry import bare_atoms, default_rattle, nearest_neighbours, site_index
from defectscout.sampling.labels import DIMER, RATTLED, bond_distortion_label
from defectscout.sampling.metadata import DistortionMetadata, Omission
from defectscout.sampling.pairs import PAIR_DISTORTIONS, pair_distortions
from defectscout.sampling.settings import SamplingSettings


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """Sampling structures of one defect, and how they were made.

    Attributes:
        structures: the structures; the first is `Unperturbed`.
        metadata: how they were made, and which were left out and why.
    """

    structures: tuple[SamplingStructure, ...]
    metadata: DistortionMetadata


def sample(defect: Defect, settings: SamplingSettings) -> Sampling:
    """Sampling structures of one defect.

    By default ShakeNBreak's: 13 bond distortions of as many nearest neighbours as
    the defect has excess electrons or holes, all other atoms rattled, the
    unperturbed structure, and for a vacancy a dimer; `Rattled` in place of the
    bond distortions where there is no excess charge (paper, sections II A and IV A;
    doi:10.1038/s41524-023-00973-1). The excess charge is that of `defect`, not
    ShakeNBreak's own guess. Every structure has a seed of its own (`rattle_seed`).

        >>> sampling = sample(v_Cd_0, SamplingSettings())
        >>> [structure.label for structure in sampling.structures]
        ['Unperturbed', 'Bond_Distortion_-60.0%', ..., 'Bond_Distortion_60.0%', 'Dimer']

    Args:
        defect: the defect.
        settings: which structures.

    Returns:
        The structures, atoms in the order of `defect.atoms`, same cell, periodic;
        `metadata.omissions` names those that were left out, such as one with two
        atoms closer than 1 Å.

    Raises:
        SamplingError: if structures cannot be made, or do not fit the defect.
        InputFileError: if the folder or a file in it cannot be read.
    """
    unperturbed = SamplingStructure(UNPERTURBED, bare_atoms(defect.atoms))
    if settings.folder is not None:
        read = read_folder(settings.folder, defect)
        others = tuple(structure for structure in read if structure.label != UNPERTURBED)
        first = next((structure for structure in read if structure.label == UNPERTURBED), unperturbed)
        return Sampling((first, *others), _metadata(defect, rattle=0.0, n_neighbours=None, distorted=None))
    if settings.none:
        return Sampling((unperturbed,), _metadata(defect, rattle=0.0, n_neighbours=0, distorted=()))

    rattle = default_rattle(defect.bulk) if settings.rattle is None else settings.rattle
    n_neighbours = 2 if settings.pairs else n_distorted_neighbours(defect.excess_charge)
    planned, omissions = _plan(defect, settings, n_neighbours, rattle)
    structures = [unperturbed]
    distorted: tuple[tuple[int, str], ...] = ()
    for distortion in planned:
        made = distort(defect, distortion, rattle, settings.seed)
        if isinstance(made, Omission):
            omissions.append(made)
            continue
        structures.append(made.structure)
        if distortion.factor is not None:
            distorted = made.distorted_atoms
    if settings.pairs:
        symbols = defect.atoms.get_chemical_symbols()
        distorted = tuple((index, symbols[index]) for index in nearest_neighbours(defect))
    labels = {structure.label for structure in structures}
    return Sampling(
        tuple(structures),
        _metadata(
            defect,
            rattle=rattle,
            n_neighbours=n_neighbours,
            distorted=distorted,
            bond_distortions=_bond_distortions(settings) if n_neighbours else (),
            has_dimer=DIMER in labels,
            omissions=tuple(omissions),
        ),
    )


def _bond_distortions(settings: SamplingSettings) -> tuple[float, ...]:
    if settings.distortions is not None:
        return settings.distortions
    return PAIR_DISTORTIONS if settings.pairs else SHAKENBREAK_DISTORTIONS


def _plan(
    defect: Defect, settings: SamplingSettings, n_neighbours: int, rattle: float
) -> tuple[tuple[Distortion, ...], list[Omission]]:
    """Distortions to make, and those that make no sense for this defect."""
    if settings.pairs:
        return pair_distortions(defect, _bond_distortions(settings)), []
    dimer: tuple[Distortion, ...] = ()
    if settings.distortions is None and defect.kind is DefectKind.VACANCY:
        dimer = (Distortion(DIMER, factor=None, n_neighbours=2),)
    if n_neighbours:
        bonds = tuple(
            Distortion(bond_distortion_label(distortion), 1 + distortion, n_neighbours)
            for distortion in _bond_distortions(settings)
        )
        return bonds + dimer, []
    omissions = [
        Omission(bond_distortion_label(distortion), f"{defect.label} has no excess charge: no bond to distort")
        for distortion in settings.distortions or ()
    ]
    if rattle == 0:
        omissions.append(Omission(RATTLED, "a rattle of 0 Å leaves the unperturbed structure"))
        return dimer, omissions
    return (Distortion(RATTLED, factor=1.0, n_neighbours=0), *dimer), omissions


def _metadata(
    defect: Defect,
    *,
    rattle: float,
    n_neighbours: int | None,
    distorted: tuple[tuple[int, str], ...] | None,
    bond_distortions: tuple[float, ...] = (),
    has_dimer: bool = False,
    omissions: tuple[Omission, ...] = (),
) -> DistortionMetadata:
    x, y, z = (float(coordinate) for coordinate in defect.site)
    return DistortionMetadata(
        defect=defect.name,
        charge=defect.charge,
        n_distorted_neighbours=n_neighbours,
        distorted_atoms=distorted,
        bond_distortions=bond_distortions,
        has_dimer=has_dimer,
        rattle=rattle,
        unique_site=(x, y, z),
        site_index=site_index(defect),
        omissions=omissions,
    )
