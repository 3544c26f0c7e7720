from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Structure

from defectscout.core.frames import Prediction
from defectscout.hosts.settings import HostSettings
from defectscout.relaxation.cell import relax_cell
from defectscout.relaxation.pool import evaluate_in_worker
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.stability import stability_test
from relaxation.crystals import copper, host, layered, simple_cubic_copper
from relaxation.engines import predict


def test_copper_is_stable() -> None:
    relaxed = relax_cell(predict, copper(3.55), HostSettings())
    result = stability_test(predict, relaxed.host, HostSettings(), 1, relaxed=relaxed)
    assert result.stable
    assert result.reasons == ()
    assert -0.005 < result.energy_gain_per_atom <= 0
    assert result.max_displacement < 0.1
    assert result.relaxation is not None
    assert result.relaxation.n_evaluations <= 15


def test_simple_cubic_copper_is_not() -> None:
    result = stability_test(predict, simple_cubic_copper(), HostSettings(), 1)
    assert not result.stable
    assert result.energy_gain_per_atom > 0.005
    assert "breaking its symmetry gains" in result.reasons[0]
    assert result.relaxation is not None
    assert result.relaxation.n_evaluations < 60


@pytest.mark.parametrize("seed", range(3))
def test_the_verdict_does_not_hang_on_the_seed(seed: int) -> None:
    settings = HostSettings()
    assert stability_test(predict, relax_cell(predict, layered(), settings).host, settings, seed).stable
    assert not stability_test(predict, simple_cubic_copper(), settings, seed).stable


def test_a_lattice_that_changes_too_much_counts_as_unstable() -> None:
    settings = HostSettings(max_length_change=0.02)
    relaxed = relax_cell(predict, copper(3.4), settings)
    result = stability_test(predict, relaxed.host, settings, 1, relaxed=relaxed)
    assert not result.stable
    assert "lattice parameter a changes by +5." in result.reasons[0]
    np.testing.assert_array_equal(result.length_changes, relaxed.length_changes)


def test_a_lattice_at_its_step_limit_counts_as_unstable() -> None:
    settings = HostSettings(max_steps=1, fmax=1e-4, smax=1e-3)
    relaxed = relax_cell(predict, layered(), settings)
    result = stability_test(predict, relaxed.host, settings, 1, relaxed=relaxed)
    assert any("its lattice does not come to rest" in reason for reason in result.reasons)


def test_in_a_fixed_cell_it_is_the_atoms_that_do_not_come_to_rest() -> None:
    settings = HostSettings(max_steps=1, fmax=1e-4, fixed_cell=True)
    relaxed = relax_cell(predict, layered(), settings)
    result = stability_test(predict, relaxed.host, settings, 1, relaxed=relaxed)
    assert any("its atoms do not come to rest" in reason for reason in result.reasons)


def test_no_rattle_no_evaluations() -> None:
    def never(atoms: Atoms) -> Prediction:
        raise AssertionError

    result = stability_test(never, copper(), HostSettings(rattle=0.0), 1)
    assert result.stable
    assert result.relaxation is None


def test_the_seed_decides_the_rattle() -> None:
    starts: list[np.ndarray] = []
    for seed in (1, 1, 2):
        frames: list[Checkpoint] = []
        stability_test(predict, copper(3.59), HostSettings(), seed, frames.append)
        starts.append(frames[0].frame.atoms.positions)
    np.testing.assert_array_equal(starts[0], starts[1])
    assert np.abs(starts[0] - starts[2]).max() > 0.01


class StopError(Exception):
    pass


def test_resumed_it_judges_the_same() -> None:
    crystal, settings = simple_cubic_copper(), HostSettings()
    through = stability_test(predict, crystal, settings, 1)
    kept: list[Checkpoint] = []

    def keep(checkpoint: Checkpoint) -> None:
        kept.append(checkpoint)
        if len(kept) == 3:
            raise StopError

    with pytest.raises(StopError):
        stability_test(predict, crystal, settings, 1, keep)
    again = stability_test(predict, crystal, settings, 1, checkpoint=kept[-1])
    assert again.energy_gain_per_atom == through.energy_gain_per_atom
    assert again.relaxation is not None
    assert through.relaxation is not None
    assert again.relaxation.n_evaluations == through.relaxation.n_evaluations


@pytest.mark.slow
def test_gfn1_xtb_keeps_cadmium_telluride(cdte_cif) -> None:  # type: ignore[no-untyped-def]
    """The 54-atom cell at +1.7 % of the PBE lattice, in few evaluations."""
    pytest.importorskip("tblite")
    primitive = Structure.from_file(cdte_cif).get_primitive_structure().to_ase_atoms()
    crystal = host(primitive, [[3, 0, 0], [0, 3, 0], [0, 0, 3]])
    with evaluate_in_worker("gfn1-xtb", 0, 1) as evaluate:
        relaxed = relax_cell(evaluate, crystal, HostSettings())
        result = stability_test(evaluate, relaxed.host, HostSettings(), 42, relaxed=relaxed)
    assert result.stable
    np.testing.assert_allclose(relaxed.length_changes, 0.0175, atol=0.001)
    assert result.relaxation is not None
    assert relaxed.relaxation.n_evaluations + result.relaxation.n_evaluations < 20
