"""Defects of the same atoms that were made at different sites."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from analysis.overviews import defect_overview
from defectscout.core.defect import Defect, DefectKind
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.symmetry import space_group_operations
from defectscout.reporting.wording import siblings_in_short, siblings_lines
from defectscout.workflow.results import DefectResult
from defectscout.workflow.siblings import with_siblings
from minima.vacancy_cases import A, dimer, vacancy

PRISTINE = vacancy().bulk
ROTATIONS, TRANSLATIONS = space_group_operations(PRISTINE)
RESTING = np.array([0.58, 0.55, 0.44]) * A
"""Å. Where the interstitial comes to rest: on no symmetry element."""


def interstitial(name: str, place: tuple[float, float, float], charge: int = 0) -> Defect:
    site = np.linalg.solve(PRISTINE.cell.array.T, np.array(place) * A)
    atoms = PRISTINE + Atoms("Te", positions=[np.array(place) * A])
    return Defect(name, charge, DefectKind.INTERSTITIAL, atoms, PRISTINE, site, 1, "Td", 2)


BY_CATIONS = interstitial("Te_i_Td_Te", (0.5, 0.5, 0.5))
BY_ANIONS = interstitial("Te_i_Td_Cd", (0.75, 0.75, 0.75))


def at_rest(defect: Defect, operation: int = 0, where: np.ndarray = RESTING) -> Atoms:
    """The interstitial at a place that an operation of the host makes equivalent to `where`."""
    scaled = np.linalg.solve(PRISTINE.cell.array.T, where)
    atoms = defect.atoms.copy()
    atoms.positions[-1] = (ROTATIONS[operation] @ scaled + TRANSLATIONS[operation]) @ PRISTINE.cell.array
    return atoms


def result(defect: Defect, atoms: Atoms, energy: float) -> DefectResult:
    return defect_overview(defect, [(atoms, energy, ("Unperturbed",))]).result


def told(*results: DefectResult) -> dict[str, DefectResult]:
    return with_siblings({item.defect.label: item for item in results}, MinimaSettings())


def near(defect: Defect) -> list[int]:
    """Operations that leave the interstitial within 4 Å of where it was made."""
    atoms = [at_rest(defect, operation) for operation in range(len(ROTATIONS))]
    probe = [one + Atoms("X", positions=[PRISTINE.cell.cartesian_positions(defect.site)]) for one in atoms]
    return [k for k, one in enumerate(probe) if one.get_distance(-2, -1, mic=True) < 4.0]


@pytest.mark.parametrize("operation", near(BY_ANIONS)[::9])
def test_two_sites_of_one_interstitial(operation: int) -> None:
    here, there = (
        result(BY_CATIONS, at_rest(BY_CATIONS), -1.0),
        result(BY_ANIONS, at_rest(BY_ANIONS, operation), -1.001),
    )
    first, second = told(here, there).values()
    ((one,), (other,)) = first.siblings, second.siblings
    assert (one.label, one.is_same, other.label, other.is_same) == ("Te_i_Td_Cd_0", True, "Te_i_Td_Te_0", True)
    assert (one.above, other.above) == pytest.approx((-0.001, 0.001))
    assert siblings_lines(first) == ["Te_i_Td_Cd_0, of the same atoms and charge, has the same ground state."]
    assert siblings_in_short(first) == ["the same as that of Te_i_Td_Cd_0"]


def test_another_structure_is_not_the_same() -> None:
    elsewhere = at_rest(BY_ANIONS, where=np.array([0.75, 0.8, 0.7]) * A)
    for energy, words in (
        (-1.01, ["Te_i_Td_Cd_0, of the same atoms and charge, has another ground state as low (-10 meV)."]),
        (-0.4, ["No defect of the same atoms and charge has a lower ground state; next is Te_i_Td_Cd_0, +0.60 eV."]),
        (-1.65, ["Te_i_Td_Cd_0, of the same atoms and charge, has a ground state 0.65 eV lower."]),
    ):
        first = told(result(BY_CATIONS, at_rest(BY_CATIONS), -1.0), result(BY_ANIONS, elsewhere, energy))[
            "Te_i_Td_Te_0"
        ]
        assert [one.is_same for one in first.siblings] == [False]
        assert siblings_lines(first) == words
        assert siblings_in_short(first) == (
            ["Te_i_Td_Cd_0, of the same atoms, is 0.65 eV lower"] if "lower." in words[0] else []
        )


def test_the_same_structure_at_another_energy_is_not_the_same() -> None:
    gap = 1.1 * MinimaSettings().energy_tolerance
    first, _ = told(
        result(BY_CATIONS, at_rest(BY_CATIONS), -1.0), result(BY_ANIONS, at_rest(BY_ANIONS), -1.0 - gap)
    ).values()
    assert not first.siblings[0].is_same


def test_other_charges_other_atoms_and_searches_without_an_answer_are_no_siblings() -> None:
    charged, vacant = interstitial("Te_i_Td_Cd", (0.75, 0.75, 0.75), charge=1), vacancy()
    without = defect_overview(BY_ANIONS).result
    items = told(
        result(BY_CATIONS, at_rest(BY_CATIONS), -1.0),
        result(charged, at_rest(charged), -1.0),
        result(vacant, dimer(vacant), -1.0),
        without,
    )
    assert all(item.siblings == () for item in items.values())
    assert siblings_lines(without) == []
