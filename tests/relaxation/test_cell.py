from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from defectscout.core.defect import Host
from defectscout.core.errors import CalculationError
from defectscout.core.frames import Prediction, RelaxationState
from defectscout.hosts.settings import HostSettings
from defectscout.hosts.supercell import repeat_host
from defectscout.relaxation.cell import relax_cell
from defectscout.relaxation.records import Checkpoint
from relaxation.crystals import copper, layered
from relaxation.engines import predict

TIGHT = HostSettings(fmax=1e-4, smax=1e-3)


def test_the_end_is_that_of_ases_cell_filter() -> None:
    crystal = layered()
    result = relax_cell(predict, crystal, TIGHT)
    atoms = crystal.primitive.to_ase_atoms()
    atoms.calc = EMT()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4, steps=200)
    final = result.relaxation.final
    assert result.relaxation.state is RelaxationState.CONVERGED
    assert final is not None
    assert final.prediction.energy / 18 == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(result.host.primitive.lattice.abc, atoms.cell.lengths(), rtol=1e-4)
    np.testing.assert_allclose(result.host.primitive.frac_coords, atoms.get_scaled_positions(wrap=False), atol=1e-4)
    np.testing.assert_allclose(
        result.length_changes, atoms.cell.lengths() / crystal.primitive.lattice.abc - 1, atol=1e-4
    )


def test_symmetry_is_kept_and_the_frames_are_the_hosts_supercells() -> None:
    crystal = layered()
    frames: list[Checkpoint] = []
    result = relax_cell(predict, crystal, TIGHT, frames.append)
    assert result.space_group == result.space_group_after == "P4/mmm"
    assert result.relaxation.n_evaluations == len(frames) <= 25
    assert [c.frame.step for c in frames] == list(range(len(frames)))
    last, supercell = frames[-1].frame.atoms, result.host.supercell
    np.testing.assert_allclose(last.cell.array, supercell.lattice.matrix, atol=1e-10)
    assert last.get_chemical_symbols() == [site.specie.symbol for site in supercell]
    difference = last.get_scaled_positions(wrap=False) - supercell.frac_coords
    np.testing.assert_allclose(difference, np.round(difference), atol=1e-9)


def test_one_free_parameter_takes_few_evaluations() -> None:
    result = relax_cell(predict, copper(3.45), HostSettings())
    assert result.relaxation.n_evaluations <= 6
    np.testing.assert_allclose(result.host.primitive.lattice.abc, 3.59 / np.sqrt(2), rtol=2e-3)  # EMT's copper


class StopError(Exception):
    pass


@pytest.mark.parametrize("steps", [1, 4])
def test_resumed_it_ends_the_same_and_costs_nothing_twice(steps: int) -> None:
    crystal = layered()
    calls = 0

    def evaluate(atoms: Atoms) -> Prediction:
        nonlocal calls
        calls += 1
        return predict(atoms)

    through = relax_cell(evaluate, crystal, TIGHT)
    needed, calls = calls, 0
    kept: list[Checkpoint] = []

    def keep(checkpoint: Checkpoint) -> None:
        kept.append(checkpoint)
        if len(kept) == steps:
            raise StopError

    with pytest.raises(StopError):
        relax_cell(evaluate, crystal, TIGHT, keep)
    again = relax_cell(evaluate, crystal, TIGHT, checkpoint=kept[-1])
    assert calls == needed == again.relaxation.n_evaluations
    np.testing.assert_array_equal(again.host.primitive.frac_coords, through.host.primitive.frac_coords)
    np.testing.assert_array_equal(again.host.primitive.lattice.matrix, through.host.primitive.lattice.matrix)
    assert again.relaxation.final is not None
    finished = Checkpoint(again.relaxation.final, kept[-1].optimiser, kept[-1].initial_energy)
    relax_cell(evaluate, crystal, TIGHT, checkpoint=finished)
    assert calls == needed


def test_the_step_limit() -> None:
    result = relax_cell(predict, layered(), HostSettings(fmax=1e-4, smax=1e-3, max_steps=2))
    assert result.relaxation.state is RelaxationState.UNCONVERGED
    assert result.relaxation.n_evaluations == 3
    assert "GPa" in result.relaxation.reason


def test_noise_that_breaks_the_symmetry_is_averaged_out() -> None:
    """A supercell with too few k-points has slightly wrong forces; the host must not follow them."""
    rng = np.random.default_rng(2)

    def noisy(atoms: Atoms) -> Prediction:
        plain = predict(atoms)
        assert plain.stress is not None
        noise = rng.normal(scale=0.05, size=plain.forces.shape)
        return Prediction(plain.energy, plain.forces + noise, plain.stress + rng.normal(scale=1e-4, size=6))

    result = relax_cell(noisy, copper(), HostSettings(smax=0.5))
    assert result.space_group_after == "Fm-3m"
    np.testing.assert_allclose(result.host.primitive.lattice.angles, 60.0, atol=1e-6)


def test_without_stress_there_is_nothing_to_relax_a_lattice_with() -> None:
    with pytest.raises(CalculationError, match="no stress"):
        relax_cell(lambda atoms: Prediction(0.0, np.zeros((len(atoms), 3))), copper(), HostSettings())


FIXED = HostSettings(fmax=1e-4, fixed_cell=True)


def strained_layers() -> Host:
    """Layers in a cell that is too wide for them; their spacing is free."""
    crystal = layered()
    wider = crystal.primitive.copy()
    wider.apply_strain([0.03, 0.03, 0.05])
    return repeat_host(crystal, wider)


def without_stress(atoms: Atoms) -> Prediction:
    found = predict(atoms)
    return Prediction(found.energy, found.forces)


def test_in_a_fixed_cell_only_positions_move() -> None:
    crystal = strained_layers()
    result = relax_cell(without_stress, crystal, FIXED)
    assert result.relaxation.state is RelaxationState.CONVERGED
    final = result.relaxation.final
    assert final is not None
    # Not nearly: the very numbers, so that the lattice is that of Vegard's law to the last digit.
    np.testing.assert_array_equal(result.host.supercell.lattice.matrix, crystal.supercell.lattice.matrix)
    np.testing.assert_array_equal(final.atoms.cell.array, crystal.supercell.lattice.matrix)
    np.testing.assert_array_equal(result.length_changes, np.zeros(3))
    assert np.abs(result.host.primitive.cart_coords - crystal.primitive.cart_coords).max() > 0.01
    atoms = crystal.primitive.to_ase_atoms()
    atoms.calc = EMT()
    BFGS(atoms, logfile=None).run(fmax=1e-4, steps=200)
    assert final.prediction.energy / 18 == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert np.linalg.norm(final.prediction.forces, axis=1).max() < 1.1e-4
    assert result.space_group == result.space_group_after == "P4/mmm"


def test_stress_moves_nothing_in_a_fixed_cell() -> None:
    crystal = strained_layers()
    with_stress, without = (relax_cell(method, crystal, FIXED) for method in (predict, without_stress))
    np.testing.assert_array_equal(with_stress.host.primitive.frac_coords, without.host.primitive.frac_coords)
    assert with_stress.relaxation.n_evaluations == without.relaxation.n_evaluations


def test_a_fixed_cell_is_resumed() -> None:
    crystal = strained_layers()
    kept: list[Checkpoint] = []
    through = relax_cell(without_stress, crystal, FIXED, kept.append)
    assert len(kept) > 3
    again = relax_cell(without_stress, crystal, FIXED, checkpoint=kept[2])
    np.testing.assert_array_equal(again.host.primitive.frac_coords, through.host.primitive.frac_coords)
    assert again.relaxation.n_evaluations == through.relaxation.n_evaluations


def test_the_step_limit_in_a_fixed_cell() -> None:
    result = relax_cell(predict, strained_layers(), FIXED.model_copy(update={"max_steps": 1}))
    assert result.relaxation.state is RelaxationState.UNCONVERGED
    assert result.relaxation.reason.endswith("eV/Å are left after 1 steps")


def test_a_supercell_without_symmetry_in_a_fixed_cell() -> None:
    """As an alloy's: it is its own primitive cell, and every position is free."""
    structure, random = copper(3.6).supercell.copy(), np.random.default_rng(0)
    for site in range(len(structure)):
        structure.translate_sites([site], random.normal(scale=0.06, size=3), frac_coords=False)
    structure.replace(0, "Au")
    host = Host(structure, structure, np.eye(3), "alloy")
    result = relax_cell(predict, host, HostSettings(fmax=0.01, fixed_cell=True))
    final = result.relaxation.final
    assert result.relaxation.state is RelaxationState.CONVERGED
    assert final is not None
    assert np.linalg.norm(final.prediction.forces, axis=1).max() < 0.01
    np.testing.assert_array_equal(final.atoms.cell.array, structure.lattice.matrix)
    assert final.atoms.get_chemical_symbols() == [site.specie.symbol for site in structure]
