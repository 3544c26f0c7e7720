from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from defectscout.minima.lattice import far_displacements, fell_apart
from defectscout.minima.settings import MinimaSettings
from minima.vacancy_cases import CUBIC, FCC, dimer, reference_search, vacancy, vectors_from_site

SETTINGS = MinimaSettings()
DEFECT = vacancy(CUBIC)


def test_a_dimer_leaves_the_lattice_as_it_is() -> None:
    atoms = dimer(DEFECT)
    assert fell_apart(DEFECT, atoms, SETTINGS) == ""
    assert far_displacements(DEFECT, atoms, SETTINGS.cutoff).max() < 1e-6


def test_only_sites_outside_the_cutoff_are_looked_at() -> None:
    inside = sum(np.linalg.norm(v) <= 5.0 for v in vectors_from_site(DEFECT))
    assert len(far_displacements(DEFECT, DEFECT.atoms, 5.0)) == len(DEFECT.atoms) - inside
    assert len(far_displacements(DEFECT, DEFECT.atoms, 3.0)) == len(DEFECT.atoms) - 4


def test_drift_and_wrapping_are_no_damage() -> None:
    atoms = dimer(DEFECT)
    atoms.positions += [3.0, -1.7, 8.1]
    atoms.wrap()
    assert far_displacements(DEFECT, atoms, SETTINGS.cutoff).max() < 1e-6


def test_like_atoms_that_changed_places_are_no_damage() -> None:
    atoms = dimer(DEFECT)
    far = np.argsort([np.linalg.norm(v) for v in vectors_from_site(DEFECT)])[-20:]
    cadmium = [int(i) for i in far if atoms.symbols[i] == "Cd"]
    atoms.positions[cadmium] = atoms.positions[np.roll(cadmium, 1)]
    assert fell_apart(DEFECT, atoms, SETTINGS) == ""
    assert far_displacements(DEFECT, atoms, SETTINGS.cutoff).max() < 1e-6


def test_unlike_atoms_that_changed_places_are_damage() -> None:
    atoms = DEFECT.atoms.copy()
    far = np.argsort([np.linalg.norm(v) for v in vectors_from_site(DEFECT)])[-30:]
    cadmium = [int(i) for i in far if atoms.symbols[i] == "Cd"][:9]
    tellurium = [int(i) for i in far if atoms.symbols[i] == "Te"][:9]
    atoms.positions[cadmium + tellurium] = atoms.positions[tellurium + cadmium]
    assert "fell apart" in fell_apart(DEFECT, atoms, SETTINGS)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("matrix", [FCC, CUBIC])
def test_a_molten_structure_fell_apart(seed: int, matrix: tuple[tuple[int, int, int], ...]) -> None:
    defect = vacancy(matrix)
    molten = defect.atoms.copy()
    molten.positions += np.random.default_rng(seed).normal(scale=1.2, size=molten.positions.shape)
    reason = fell_apart(defect, molten, SETTINGS)
    assert "the host fell apart" in reason
    assert "5 Å" in reason
    assert "0.7 Å" in reason


def test_a_host_that_shears_into_another_phase_fell_apart() -> None:
    # The tellurium sublattice slides against the cadmium one by a quarter of the diagonal.
    atoms = DEFECT.atoms.copy()
    atoms.positions[atoms.symbols == "Te"] += [1.1, 1.1, 0.0]
    assert fell_apart(DEFECT, atoms, SETTINGS)


@pytest.mark.parametrize("host", ["CdTe", "CdSe"])
def test_no_real_reconstruction_is_flagged(shared_data: Path, host: str) -> None:
    defect, ends = reference_search(shared_data / "gfn1-xtb" / f"{host}_v_Cd_0")
    assert len(ends) == 15
    assert [fell_apart(defect, end.final.atoms, SETTINGS) for end in ends] == [""] * 15
