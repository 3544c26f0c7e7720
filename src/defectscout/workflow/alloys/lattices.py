"""Lattices of an alloy's supercells, and the files that their campaigns start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from defectscout.core.defect import Host
from defectscout.core.errors import SettingsError
from defectscout.core.files import write_atomically
from defectscout.core.frames import FloatArray
from defectscout.core.progress import Progress
from defectscout.hosts.settings import HostSettings
from defectscout.hosts.vegard import end_member, vegard_lattice, weights
from defectscout.workflow.alloys.members import Member
from defectscout.workflow.alloys.settings import AlloySettings, Lattice, corners
from defectscout.workflow.alloys.study import END_MEMBERS_FOLDER, SUPERCELLS_FOLDER
from defectscout.workflow.campaign import open_campaign, source_of
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.stages.host import prepare_host, stored_report

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True, slots=True, eq=False)
class EndMember:
    """A crystal between which and others an alloy lies.

    Attributes:
        species: what stands on each mixed sublattice of the parent.
        formula: reduced formula.
        lattice: shape (3, 3), of the supercell, rows in Å, in the parent's orientation.
    """

    species: Mapping[str, str]
    formula: str
    lattice: FloatArray


def settled_lattice(alloy: AlloySettings, search: SearchSettings) -> Lattice:
    """Where the lattice comes from, if the settings leave it open.

    Raises:
        SettingsError: it needs a reference and there is none, or settings exclude each other.
    """
    chosen = alloy.lattice
    if chosen == "surrogate":
        if search.strategy == "reference-only":
            raise SettingsError(
                "--lattice surrogate and --reference-only exclude each other: the second uses no surrogate. Take "
                "--lattice reference or vegard."
            )
        if alloy.end_members:
            raise SettingsError(
                "--lattice surrogate and --end-member exclude each other: the surrogate relaxes each supercell's "
                "lattice itself, without Vegard's law. Leave one of the two out."
            )
        return chosen
    if search.reference.name != "none":
        return chosen or "reference"
    if chosen == "reference" or not alloy.end_members:
        raise SettingsError(
            "There is no reference to relax the alloy's lattice with (--reference none). Give the end members as "
            "relaxed with your own DFT settings (--end-member FILE for each of them), or take the surrogate's lattice "
            "(--lattice surrogate)."
        )
    return "vegard"


def supercell_file(folder: Path, name: str) -> Path:
    """The file that a supercell's campaign starts from."""
    return folder / SUPERCELLS_FOLDER / f"{name}.vasp"


def write_supercell(
    folder: Path,
    member: Member,
    ends: Sequence[EndMember],
    alloy: AlloySettings,
    search: SearchSettings,
    progress: Progress,
) -> Path:
    """The file that a supercell's campaign starts from, at its lattice; one that is there stays.

    Args:
        folder: of the study.
        member: supercell on the parent's lattice.
        ends: what `end_members` returned.
        alloy: where the lattice comes from.
        search: reference, surrogate, and how hosts are relaxed.
        progress: told what the surrogate relaxes.

    Raises:
        DefectscoutError: the surrogate cannot relax it.
    """
    path = supercell_file(folder, member.name)
    if path.is_file():
        return path
    if settled_lattice(alloy, search) == "surrogate":
        structure = _by_surrogate(member.alloy.structure, member.name, search, search.host, progress)
    else:
        structure = _at_vegard(member, ends)
        if search.reference.name == "none":
            held = search.host.model_copy(update={"fixed_cell": True})
            structure = _by_surrogate(structure, member.name, search, held, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _poscar(structure, path.stem))
    return path


def _poscar(structure: Structure, comment: str) -> str:
    from pymatgen.io.vasp.inputs import Poscar

    return str(Poscar(structure, comment=comment).get_str(significant_figures=16))


def end_members(
    folder: Path,
    parent: Host,
    members: Sequence[Member],
    alloy: AlloySettings,
    search: SearchSettings,
    progress: Progress,
) -> tuple[EndMember, ...]:
    """The end members of all compositions at their relaxed lattices; none where no supercell is waiting for them.

    Each is a campaign that is relaxed with the reference, unless files of them are given.

    Raises:
        DefectscoutError: an end member cannot be relaxed, or the file of one does not fit.
    """
    if settled_lattice(alloy, search) == "surrogate":
        return ()
    if all(supercell_file(folder, member.name).is_file() for member in members):
        return ()
    if alloy.end_members:
        return given_end_members(parent, members, alloy)
    return tuple(_relaxed_end_member(folder, parent, corner, search, progress) for corner in _corners(members))


def given_end_members(parent: Host, members: Sequence[Member], alloy: AlloySettings) -> tuple[EndMember, ...]:
    """The end members that the user gives; none if there are no files.

    Raises:
        DefectscoutError: a file cannot be read or does not fit, or one is lacking.
    """
    if not alloy.end_members:
        return ()
    from defectscout.hosts.end_member_files import lattices_of_files

    species = _corners(members)
    lattices = lattices_of_files(alloy.end_members, parent, species)
    return tuple(
        EndMember(corner, end_member(parent, corner).composition.reduced_formula, lattice)
        for corner, lattice in zip(species, lattices, strict=True)
    )


def _corners(members: Sequence[Member]) -> list[dict[str, str]]:
    found = {tuple(corner.items()): corner for member in members for corner in corners(member.alloy.occupations)}
    return list(found.values())


def _relaxed_end_member(
    folder: Path, parent: Host, corner: Mapping[str, str], search: SearchSettings, progress: Progress
) -> EndMember:
    structure = end_member(parent, corner)
    formula = structure.composition.reduced_formula
    place = folder / END_MEMBERS_FOLDER / formula
    file = folder / END_MEMBERS_FOLDER / f"{formula}.vasp"
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.is_file():
        write_atomically(file, _poscar(structure, formula))
    matrix = tuple(tuple(round(value) for value in row) for row in parent.supercell_matrix)
    settings = search.model_copy(
        update={
            # The parent's lattice is no guess of the end member's, so that its change says nothing of stability.
            "host": search.host.model_copy(
                update={"rattle": 0.0, "max_length_change": 1.0, "keep": False, "fixed_cell": False}
            ),
            "supercell": search.supercell.model_copy(update={"matrix": matrix, "min_image_distance": 0.1}),
        }
    )
    with open_campaign(place, settings, source_of(str(file))) as campaign:
        is_new = stored_report(campaign) is None
        if is_new:
            progress.message(f"End member {formula}: relaxing its lattice with {search.reference.name}.")
        host, report = prepare_host(campaign, progress)
    if is_new:
        changes = ", ".join(f"{change:+.1%}" for change in report.length_changes)
        progress.message(f"End member {formula}: lattice parameters {changes} from those of {parent.formula} as given.")
    return EndMember(corner, formula, np.asarray(host.supercell.lattice.matrix))


def _at_vegard(member: Member, ends: Sequence[EndMember]) -> Structure:
    from pymatgen.core import Lattice, Structure

    shares = weights(member.alloy.occupations, [end.species for end in ends])
    lattice = vegard_lattice([end.lattice for end in ends], shares)
    structure = member.alloy.structure
    return Structure(Lattice(lattice), structure.species, structure.frac_coords)


def _by_surrogate(
    structure: Structure, name: str, search: SearchSettings, settings: HostSettings, progress: Progress
) -> Structure:
    from ase import Atoms

    from defectscout.core.frames import Prediction
    from defectscout.relaxation.cell import relax_cell
    from defectscout.surrogates.registry import check_elements, load_surrogate

    surrogate = load_surrogate(search.surrogate)
    check_elements(surrogate.info, sorted({site.specie.symbol for site in structure}))

    def evaluate(atoms: Atoms) -> Prediction:
        return surrogate.predict([atoms])[0]

    progress.message(f"{name}: relaxing it with {surrogate.info.name}.")
    found = relax_cell(evaluate, Host(structure, structure, np.eye(3), name), settings)
    if found.relaxation.reason:
        progress.warn(f"{name}: its relaxation with {surrogate.info.name} has not converged: {found.relaxation.reason}")
    return found.host.supercell
