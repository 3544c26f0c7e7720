"""Motifs of reconstructions made by hand, and what must not change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atom, Atoms
from ase.build import bulk as ase_bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from analysis.overviews import SYMPREC, brought_together, defect_overview, minimum, overview
from defectscout.analysis.motifs import Motif, motif_of, motifs
from defectscout.analysis.places import between_two_sites
from defectscout.core.defect import Defect, DefectKind
from defectscout.minima.alignment import site_distances
from defectscout.minima.symmetry import SCHOENFLIES, site_symmetry
from defectscout.sampling.geometry import nearest_neighbours, site_index
from minima.vacancy_cases import breathing, dimer, neighbours, vacancy, vectors_from_site

Case = tuple[Defect, Atoms]
V_CD = vacancy()


def named(defect: Defect, atoms: Atoms) -> tuple[Motif, str]:
    return motif_of(defect, minimum(defect, atoms), site_symmetry(defect.atoms, SYMPREC))


def with_selenium(count: int) -> Defect:
    """The vacancy with Se for some of its neighbours, in the host too."""
    atoms, bulk = V_CD.atoms.copy(), V_CD.bulk.copy()
    for index in neighbours(V_CD)[:count]:
        atoms.symbols[index] = "Se"
        bulk.symbols[int(np.linalg.norm(bulk.positions - atoms.positions[index], axis=1).argmin())] = "Se"
    return replace(V_CD, atoms=atoms, bulk=bulk)


def substitution(symbol: str, replaced: str) -> Defect:
    atoms = V_CD.bulk.copy()
    index = int(np.flatnonzero(atoms.symbols == replaced)[0])
    atoms.symbols[index] = symbol
    site = V_CD.bulk.get_scaled_positions()[index]
    return Defect(f"{symbol}_{replaced}", 0, DefectKind.SUBSTITUTION, atoms, V_CD.bulk, site, 1, "Td", 0)


def interstitial(symbol: str) -> Defect:
    """Amid four Cd, 2.83 Å away; the atom comes last."""
    bulk = V_CD.bulk
    te = int(np.flatnonzero(bulk.symbols == "Te")[0])
    cd = int(np.flatnonzero(bulk.symbols == "Cd")[bulk.get_distances(te, bulk.symbols == "Cd", mic=True).argmin()])
    bond = bulk.get_distance(cd, te, mic=True, vector=True)
    atoms = bulk.copy()
    atoms.append(Atom(symbol, bulk.positions[cd] - bond))
    site = atoms.get_scaled_positions()[-1]
    return Defect(f"{symbol}_i", 0, DefectKind.INTERSTITIAL, atoms, bulk, site, 1, "Td", 0)


def dumbbell(defect: Defect, length: float, host: str, ratio: float = 0.5) -> Atoms:
    """The interstitial atom and the nearest host atom of an element on either side of the latter's site."""
    atoms, mover = defect.atoms.copy(), site_index(defect)
    likes = np.flatnonzero(defect.bulk.symbols == host)
    partner = int(likes[site_distances(defect, defect.bulk.positions[likes]).argmin()])
    way = np.array([1.0, 0.0, 0.0]) * length
    place = defect.bulk.positions[partner]
    atoms.positions[mover] = place + (1 - ratio) * way
    atoms.positions[partner] = place - ratio * way
    return atoms


def two_pairs(length: float = 2.75) -> Atoms:
    a, b, c, d = neighbours(V_CD)
    return brought_together(V_CD, [(a, b), (c, d)], length)


def moved(defect: Defect, index: int, by: float, direction: tuple[float, float, float] = (0, 0, 1)) -> Atoms:
    atoms = defect.atoms.copy()
    atoms.positions[index] += by * np.array(direction) / np.linalg.norm(direction)
    return atoms


def trimer() -> Case:
    """One neighbour amid two others, 2.8 Å from both."""
    a, b, c = neighbours(V_CD)[:3]
    atoms, vectors = V_CD.atoms.copy(), vectors_from_site(V_CD)
    centre = 0.3 * vectors[a]
    for index, place in (
        (a, centre),
        (b, centre + 2.8 * unit(vectors[b] - centre)),
        (c, centre + 2.8 * unit(vectors[c] - centre)),
    ):
        atoms.positions[index] += place - vectors[index]
    return V_CD, atoms


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def star() -> Case:
    """All four neighbours bonded to one of them, as three pairs."""
    a, *others = neighbours(V_CD)
    atoms, vectors = V_CD.atoms.copy(), vectors_from_site(V_CD)
    atoms.positions[a] -= vectors[a]
    for index in others:
        atoms.positions[index] += 2.8 * unit(vectors[index]) - vectors[index]
    return V_CD, atoms


def joined_to_a_pair() -> Case:
    """A defect beside a Te–Te bond, to one of whose atoms a third Te binds, at a right angle."""
    beside = replace(V_CD, atoms=dimer(V_CD, (0, 1)))
    first, second, third, _ = neighbours(V_CD)
    atoms = beside.atoms.copy()
    along = unit(atoms.get_distance(first, second, mic=True, vector=True))
    towards = atoms.get_distance(first, third, mic=True, vector=True)
    across = unit(towards - (towards @ along) * along)
    atoms.positions[third] += 2.75 * across - towards
    return beside, atoms


def left_a_pair() -> Case:
    """The same, but the atom has let go of the one that it was bonded to."""
    beside, atoms = joined_to_a_pair()
    shell = neighbours(V_CD)
    away = atoms.get_distance(shell[0], shell[1], mic=True, vector=True)
    atoms.positions[shell[1]] += 1.2 * unit(away)
    return beside, atoms


def silicon() -> Case:
    """Two of the four neighbours of a vacancy in silicon, whose atoms all are bonded to each other."""
    pristine = ase_bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
    atoms = pristine.copy()
    del atoms[0]
    defect = Defect("v_Si", 0, DefectKind.VACANCY, atoms, pristine, np.zeros(3), 1, "Td", 0)
    first, second = nearest_neighbours(defect)[:2]
    return defect, brought_together(defect, [(first, second)], 2.4)


def split_vacancy(share: float = 0.5) -> Case:
    likes = np.flatnonzero(V_CD.atoms.symbols == "Cd")
    vectors = vectors_from_site(V_CD)
    mover = int(likes[np.linalg.norm(vectors[likes], axis=1).argmin()])
    atoms = V_CD.atoms.copy()
    atoms.positions[mover] -= share * vectors[mover]
    return V_CD, atoms


def off_centre(symbol: str, replaced: str, by: float) -> Case:
    defect = substitution(symbol, replaced)
    return defect, moved(defect, site_index(defect), by)


CASES: dict[str, tuple[Case, Motif, str]] = {
    "as it was": ((V_CD, V_CD.atoms.copy()), Motif.SYMMETRIC, "symmetric (Td)"),
    "breathing": ((V_CD, breathing(V_CD)), Motif.SYMMETRIC, "symmetric (Td)"),
    "one neighbour moved": ((V_CD, moved(V_CD, neighbours(V_CD)[0], 0.4)), Motif.DISTORTED, "distorted (Cs)"),
    "dimer": ((V_CD, dimer(V_CD)), Motif.DIMER, "Te–Te dimer"),
    "two dimers": ((V_CD, two_pairs()), Motif.SEVERAL_DIMERS, "two Te–Te dimers"),
    "trimer": (trimer(), Motif.TRIMER, "Te–Te–Te trimer"),
    "star": (star(), Motif.CLUSTER, "Te4 cluster"),
    "third atom at a pair": (joined_to_a_pair(), Motif.TRIMER, "Te–Te–Te trimer"),
    "pair broken": (left_a_pair(), Motif.DIMER, "Te–Te dimer"),
    "silicon": (silicon(), Motif.DIMER, "Si–Si dimer"),
    "split vacancy": (split_vacancy(), Motif.SPLIT, "split Cd vacancy"),
    "dumbbell": (
        (interstitial("Te"), dumbbell(interstitial("Te"), 2.75, "Te")),
        Motif.SPLIT,
        "Te–Te split interstitial",
    ),
    "off-centre impurity": (off_centre("S", "Te", 0.9), Motif.OFF_CENTRE, "off-centre S"),
    "off-centre antisite": (off_centre("Cd", "Te", 0.8), Motif.OFF_CENTRE, "off-centre Cd"),
    "impurity near its site": (off_centre("S", "Te", 0.3), Motif.DISTORTED, "distorted (C2v)"),
}


@pytest.mark.parametrize("name", CASES)
def test_motifs_of_structures_made_by_hand(name: str) -> None:
    (defect, atoms), motif, words = CASES[name]
    assert named(defect, atoms) == (motif, words)


def test_dimers_of_several_elements() -> None:
    for count, words in ((1, "one Se–Te and one Te–Te dimer"), (2, "one Se–Se and one Te–Te dimer")):
        defect = with_selenium(count)
        a, b, c, d = neighbours(defect)
        atoms = brought_together(defect, [(a, b)], 2.5)
        atoms = brought_together(defect, [(c, d)], 2.75, atoms)
        assert named(defect, atoms) == (Motif.SEVERAL_DIMERS, words)
    defect = with_selenium(4)
    a, b, c, d = neighbours(defect)
    assert named(defect, brought_together(defect, [(a, b), (c, d)], 2.4)) == (
        Motif.SEVERAL_DIMERS,
        "two Se–Se dimers",
    )


def test_the_middle_of_a_trimer_stands_in_the_middle() -> None:
    a, _, c, _ = neighbours(V_CD)
    _, atoms = trimer()
    for index, words in ((a, "Te–Se–Te trimer"), (c, "Se–Te–Te trimer")):
        defect, changed = replace(V_CD, atoms=V_CD.atoms.copy()), atoms.copy()
        for structure in (defect.atoms, changed):
            structure.symbols[index] = "Se"
        changed.set_distance(a, c, 2.6, fix=0, mic=True)
        assert named(defect, changed) == (Motif.TRIMER, words)


def test_a_trimer_beside_a_dimer() -> None:
    defect, atoms = trimer()
    last = neighbours(V_CD)[3]
    likes = np.flatnonzero(atoms.symbols == "Te")
    order = likes[np.argsort(atoms.get_distances(last, likes, mic=True))]
    partner = next(int(i) for i in order if i not in neighbours(V_CD))
    atoms.set_distance(last, partner, 2.75, fix=1, mic=True)
    assert named(defect, atoms) == (Motif.TRIMER, "one Te–Te–Te trimer and one Te–Te dimer")


def test_two_atoms_on_one_site_are_split_bonded_or_not() -> None:
    defect = interstitial("Te")
    for length in (2.75, 3.3):  # with a bond, and longer than one
        atoms = dumbbell(defect, length, "Te")
        assert bool(minimum(defect, atoms).new_bonds) is (length < 3.0)
        assert named(defect, atoms) == (Motif.SPLIT, "Te–Te split interstitial")
    assert named(interstitial("Cd"), dumbbell(interstitial("Cd"), 2.8, "Te")) == (
        Motif.SPLIT,
        "Cd–Te split interstitial",
    )


def test_an_atom_beside_one_that_keeps_its_site_is_not_split() -> None:
    defect = interstitial("Te")
    motif, name = named(defect, dumbbell(defect, 2.75, "Te", ratio=0.1))
    assert (motif, name) == (Motif.DIMER, "Te–Te dimer")


def test_a_split_interstitial_with_a_further_bond_is_told_by_its_bonds() -> None:
    defect = interstitial("Te")
    atoms = dumbbell(defect, 2.75, "Te")
    mover = site_index(defect)
    likes = np.flatnonzero(atoms.symbols == "Te")
    order = likes[np.argsort(atoms.get_distances(mover, likes, mic=True))]
    third = int(order[2])
    atoms.set_distance(mover, third, 2.8, fix=0, mic=True)
    assert named(defect, atoms)[0] is Motif.TRIMER


def test_an_impurity_can_share_a_site() -> None:
    defect = substitution("S", "Te")
    te = np.flatnonzero(defect.bulk.symbols == "Te")
    order = te[np.argsort(site_distances(defect, defect.bulk.positions[te]))]
    partner, mover = int(order[1]), site_index(defect)
    place = defect.bulk.positions[partner]
    way = unit(defect.bulk.get_distance(partner, mover, mic=True, vector=True))
    atoms = defect.atoms.copy()
    atoms.positions[partner], atoms.positions[mover] = place - 1.1 * way, place + 1.2 * way
    assert named(defect, atoms) == (Motif.SPLIT, "S–Te pair on one site")


def test_one_new_bond_at_a_pair_that_is_there_makes_the_trimer() -> None:
    defect, atoms = joined_to_a_pair()
    assert [str(bond) for bond in minimum(defect, atoms).new_bonds] == ["Te–Te 2.75 Å"]


def test_an_atom_at_one_that_keeps_its_site_does_not_share_it() -> None:
    defect = interstitial("H")
    te = int(np.flatnonzero(defect.atoms.symbols == "Te")[0])
    atoms = defect.atoms.copy()
    atoms.set_distance(te, len(atoms) - 1, 1.65, fix=0, mic=True)
    assert named(defect, atoms) == (Motif.DIMER, "H–Te dimer")


def test_an_atom_nearer_to_its_own_site_does_not_share_another() -> None:
    defect = substitution("S", "Te")
    sulfur, cd = site_index(defect), nearest_neighbours(defect)[0]
    way = unit(defect.atoms.get_distance(cd, sulfur, mic=True, vector=True))
    atoms = defect.atoms.copy()
    atoms.positions[cd] += 1.2 * way
    atoms.positions[sulfur] += 0.7 * way
    assert named(defect, atoms) == (Motif.OFF_CENTRE, "off-centre S")


@pytest.mark.parametrize(("share", "motif"), [(0.15, Motif.DISTORTED), (0.5, Motif.SPLIT), (0.9, Motif.DISTORTED)])
def test_a_split_vacancy_lies_between_its_sites(share: float, motif: Motif) -> None:
    defect, atoms = split_vacancy(share)
    assert named(defect, atoms)[0] is motif


def test_an_atom_beside_the_line_between_two_sites_does_not_split_the_vacancy() -> None:
    defect, atoms = split_vacancy()
    moves = atoms.positions - defect.atoms.positions
    mover = int(np.linalg.norm(moves, axis=1).argmax())
    across = unit(np.cross(moves[mover], [1.0, 2.0, 3.0]))
    length = 2 * np.linalg.norm(moves[mover])
    for aside, expected in ((0.2, mover), (0.5, None)):
        changed = atoms.copy()
        changed.positions[mover] += aside * length * across
        assert between_two_sites(defect, changed) == expected


def test_bonds_come_before_a_split_vacancy() -> None:
    defect, atoms = split_vacancy()
    shell = neighbours(V_CD)
    apart = [(atoms.get_distance(a, b, mic=True), a, b) for a in shell for b in shell if a < b]
    _, first, second = max(apart)
    atoms = brought_together(defect, [(first, second)], 2.75, atoms)
    assert named(defect, atoms)[0] is Motif.DIMER


def test_a_bond_of_a_metal_and_an_impurity_is_no_dimer() -> None:
    defect = substitution("O", "Te")
    oxygen = site_index(defect)
    atoms = defect.atoms.copy()
    atoms.set_distance(nearest_neighbours(defect)[0], oxygen, 2.2, fix=0, mic=True)
    assert [str(bond) for bond in minimum(defect, atoms).new_bonds] == ["Cd–O 2.20 Å"]
    assert named(defect, atoms) == (Motif.OFF_CENTRE, "off-centre O, with one new Cd–O bond")


def test_atoms_of_one_element_that_changed_places_are_the_same_structure() -> None:
    """The antisite Cd has gone to a neighbouring Cd site, and that Cd atom to the antisite."""
    defect = substitution("Cd", "Te")
    site = site_index(defect)
    other = int(np.argsort(defect.atoms.get_distances(site, range(64), mic=True))[1])
    assert defect.atoms.symbols[other] == "Cd"
    atoms = defect.atoms.copy()
    atoms.positions[[site, other]] = atoms.positions[[other, site]]
    assert named(defect, atoms) == (Motif.SYMMETRIC, "symmetric (Td)")


def test_an_interstitial_that_left_its_place() -> None:
    defect = interstitial("Li")
    assert named(defect, defect.atoms)[0] is Motif.SYMMETRIC
    # Through the face of three of the four Cd into the next hole, amid six.
    away = V_CD.bulk.positions[site_distances(defect, V_CD.bulk.positions).argmin()] - defect.atoms.positions[-1]
    assert named(defect, moved(defect, -1, 0.9, tuple(-away)))[0] is Motif.OFF_CENTRE


def test_without_symmetry_to_lose_displacements_decide() -> None:
    rough = V_CD.atoms.copy()
    rough.positions += np.random.default_rng(1).normal(scale=0.2, size=rough.positions.shape)
    defect = replace(V_CD, atoms=rough)
    assert site_symmetry(rough, SYMPREC) == "C1"
    near = neighbours(defect)[0]
    assert named(defect, moved(defect, near, 0.3)) == (Motif.SYMMETRIC, "as unperturbed")
    assert named(defect, moved(defect, near, 0.8, (1, 1, 0))) == (Motif.DISTORTED, "distorted")


def test_more_symmetry_than_before_is_symmetric() -> None:
    lower = replace(V_CD, atoms=moved(V_CD, neighbours(V_CD)[0], 0.4))
    assert named(lower, V_CD.atoms) == (Motif.SYMMETRIC, "symmetric (Td)")


def test_every_point_group_can_be_compared() -> None:
    structure = minimum(V_CD, breathing(V_CD))
    for group in SCHOENFLIES.values():
        motif, _ = motif_of(V_CD, replace(structure, site_symmetry=group), "Oh")
        assert motif is (Motif.SYMMETRIC if group == "Oh" else Motif.DISTORTED)


def turned(defect: Defect, atoms: Atoms, matrix: np.ndarray, shift: np.ndarray, order: np.ndarray) -> Case:
    """The same crystal turned, its defect's atoms in another order; the relaxed structure shifted and wrapped too."""

    def turn(structure: Atoms) -> Atoms:
        changed = structure.copy()
        changed.set_cell(structure.cell[:] @ matrix.T)
        changed.positions = structure.positions @ matrix.T
        return changed

    relaxed = turn(atoms)[order]
    relaxed.positions += shift
    relaxed.wrap()
    return replace(defect, atoms=turn(defect.atoms)[order], bulk=turn(defect.bulk)), relaxed


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(sorted(CASES)),
    seed=st.integers(0, 2**32 - 1),
    mirrored=st.booleans(),
)
def test_neither_motion_nor_order_changes_a_motif(name: str, seed: int, mirrored: bool) -> None:
    (defect, atoms), motif, words = CASES[name]
    random = np.random.default_rng(seed)
    matrix = Rotation.random(rng=random).as_matrix() * (-1.0 if mirrored else 1.0)
    shift, order = random.uniform(-20, 20, 3), random.permutation(len(atoms))
    assert named(*turned(defect, atoms, matrix, shift, order)) == (motif, words)


def test_groups_of_several_hosts() -> None:
    mixed = with_selenium(4)
    pair = neighbours(mixed)[:2]
    cdte = defect_overview(
        V_CD,
        [
            (dimer(V_CD), -1.0, ("Dimer",)),
            (two_pairs(), -0.5, ("Rattled",)),
            (breathing(V_CD), -0.25, ("Unperturbed",)),
        ],
    )
    alloy = defect_overview(
        mixed,
        [
            (brought_together(mixed, [(pair[0], pair[1])], 2.4), -0.5, ("Dimer",)),
            (mixed.atoms, 0.0, ("Unperturbed",)),
        ],
    )
    found = motifs([overview(host, [item], oxidation_states={}) for host, item in (("ZnSe", alloy), ("CdTe", cdte))])
    assert [(group.motif, group.hosts, group.ground_states) for group in found] == [
        (Motif.DIMER, ("CdTe", "ZnSe"), 2),
        (Motif.SYMMETRIC, ("CdTe", "ZnSe"), 0),
        (Motif.SEVERAL_DIMERS, ("CdTe",), 0),
    ]
    ours, theirs = found[0].members
    assert (ours.host, ours.defect, ours.rank, ours.name) == ("CdTe", "v_Cd_0", 0, "Te–Te dimer")
    assert (ours.relative_energy, ours.lowering, ours.symmetry) == (0.0, pytest.approx(-0.75), "C2v")
    assert [str(bond) for bond in ours.bonds] == ["Te–Te 2.75 Å"]
    assert (theirs.host, theirs.name) == ("ZnSe", "Se–Se dimer")
    assert sum(len(group.members) for group in found) == 5
    assert motifs([]) == ()


def test_a_defect_without_minima_has_no_motif() -> None:
    assert motifs([overview("CdTe", [defect_overview(V_CD)], oxidation_states={})]) == ()
