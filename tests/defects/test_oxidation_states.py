"""Where oxidation states come from, and what is said about them."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from defectscout.core.errors import DefectSelectionError
from defectscout.defects.oxidation import assign_oxidation_states
from listening import Listening


def states(structure: Structure, given: dict[str, int] | None = None) -> tuple[dict[str, set[int]], list[str]]:
    progress = Listening()
    found: dict[str, set[int]] = {}
    for site, state in zip(structure, assign_oxidation_states(structure, given, 0.01, progress), strict=True):
        found.setdefault(site.specie.symbol, set()).add(state)
    return found, progress.warnings


def test_bond_valences() -> None:
    chalcopyrite = Structure.from_spacegroup(
        "I-42d", Lattice.tetragonal(5.37, 10.52), ["Ga", "Cu", "S"], [[0, 0, 0.5], [0, 0, 0], [0.2537, 0.25, 0.125]]
    )
    assert states(chalcopyrite) == ({"Ga": {3}, "Cu": {1}, "S": {-2}}, [])


def test_single_element() -> None:
    diamond = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])
    assert states(diamond) == ({"Si": {0}}, [])


def test_composition_where_bond_lengths_say_nothing() -> None:
    stretched = Structure.from_spacegroup("Fm-3m", Lattice.cubic(11.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert states(stretched) == ({"Na": {1}, "Cl": {-1}}, [])


def test_what_does_not_balance_is_warned_of() -> None:
    # Na2S5-like: a cell of one Na and four S in a row.
    chain = Structure(
        Lattice.orthorhombic(8, 4, 4),
        ["Na"] + ["S"] * 4,
        [[0, 0, 0], *([x, 0.5, 0.5] for x in (0.1, 0.36, 0.62, 0.88))],
    )
    found, warnings = states(chain)
    assert found == {"Na": {1}, "S": {-2}}
    assert len(warnings) == 1
    assert "Na +1, S -2" in warnings[0]
    assert "oxidation_states" in warnings[0]


def test_given_states() -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert states(salt, {"Na": 1, "Cl": -1, "Br": -1}) == ({"Na": {1}, "Cl": {-1}}, [])
    found, warnings = states(salt, {"Na": 2, "Cl": -1})
    assert found == {"Na": {2}, "Cl": {-1}}
    assert "+4 e" in warnings[0]
    with pytest.raises(DefectSelectionError, match="lacks Cl"):
        states(salt, {"Na": 1})


def test_nothing_known() -> None:
    solid = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["He", "Ne"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(DefectSelectionError, match="He"):
        states(solid)
