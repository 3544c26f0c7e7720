"""Errors of a surrogate: by hand, and what they must not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from defectscout.core.errors import CalculationError
from defectscout.core.frames import Prediction
from defectscout.core.units import EV_PER_A3_IN_GPA
from defectscout.evaluation.errors import FrameErrors, measure_errors
from defectscout.evaluation.force_sample import ForceSampler
from defectscout.evaluation.metrics import error_table, overall_metrics, rank_correlations, relative_energies
from defectscout.evaluation.predicting import predict_frames
from defectscout.learning.frames import BULK, FrameOrigin, LabelledFrame
from defectscout.surrogates.base import SurrogateInfo
from listening import Listening


def frame(
    energy: float,
    defect: str = "v_A",
    host: str = "AB",
    start: str = "Unperturbed",
    step: int = 0,
    forces: float = 0.0,
    stress: float | None = 0.0,
    formula: str = "NaCl",
    method: str = "model",
) -> LabelledFrame:
    atoms = Atoms(formula, cell=[9, 9, 9], pbc=True)
    labels = Prediction(energy, np.full((len(atoms), 3), forces), None if stress is None else np.full(6, stress))
    return LabelledFrame(atoms, labels, FrameOrigin(host, defect, 0, start, step, method, "here"))


def guess(item: LabelledFrame, energy: float, forces: float = 0.0, stress: float | None = 0.0) -> Prediction:
    return Prediction(energy, np.full((len(item.atoms), 3), forces), None if stress is None else np.full(6, stress))


def measured(expected: list[LabelledFrame], energies: list[float]) -> FrameErrors:
    return measure_errors(expected, [guess(item, energy) for item, energy in zip(expected, energies, strict=True)])


def test_numbers_by_hand() -> None:
    frames = [frame(-10.0), frame(-8.0, step=1), frame(-4.0, step=2)]
    predicted = [guess(frames[0], -9.8), guess(frames[1], -8.4, 0.1, 0.01), guess(frames[2], -4.6, -0.3, None)]
    found = overall_metrics(measure_errors(frames, predicted))
    per_atom = np.array([0.2, -0.4, -0.6]) / 2 * 1000
    assert found.energy.mae.value == pytest.approx(np.abs(per_atom).mean())
    assert found.energy.rmse.value == pytest.approx(np.sqrt((per_atom**2).mean()))
    relative = np.array([0.0, 1.4 - 2.0, 5.2 - 6.0])  # against the reference's lowest frame, the first
    assert found.relative.mae.value == pytest.approx(np.abs(relative).mean())
    assert found.relative.rmse.value == pytest.approx(np.sqrt((relative**2).mean()))
    assert found.low.mae.value == pytest.approx(np.abs(relative[:2]).mean())  # the third lies 6 eV above
    assert found.low_per_atom.mae.value == pytest.approx(1000 * np.abs(relative[:2]).mean() / 2)
    assert (found.low.n_frames, found.relative.n_frames) == (2, 3)
    assert found.force.mae.value == pytest.approx(1000 * (0 + 0.1 + 0.3) / 3)
    assert found.force.rmse.value == pytest.approx(1000 * np.sqrt((0.01 + 0.09) / 3))
    assert found.stress.mae.value == pytest.approx(0.005 * EV_PER_A3_IN_GPA)
    assert found.stress.n_frames == 2  # one has no stress to compare
    assert found.energy_shifted.mae.value == pytest.approx(np.abs(per_atom - per_atom.mean()).mean())
    assert found.spearman.value == pytest.approx(1.0)


def test_the_zero_is_the_references_lowest_frame_not_the_surrogates() -> None:
    frames = [frame(0.0), frame(1.0, step=1)]
    relative = relative_energies(measured(frames, [5.0, 3.0]))
    assert relative.reference.tolist() == [0.0, 1.0]
    assert relative.predicted.tolist() == [0.0, -2.0]


def test_stress_counts_the_nine_components() -> None:
    item = frame(0.0)
    shear = Prediction(0.0, np.zeros((2, 3)), np.array([0, 0, 0, 1.0, 0, 0]))
    found = overall_metrics(measure_errors([item], [shear]))
    assert found.stress.mae.value == pytest.approx(2 / 9 * EV_PER_A3_IN_GPA)
    assert found.stress.rmse.value == pytest.approx(np.sqrt(2 / 9) * EV_PER_A3_IN_GPA)


def test_forces_are_averaged_over_components_of_all_atoms_not_over_frames() -> None:
    small, large = frame(0.0, formula="Na"), frame(0.0, formula="Na3", defect="v_B")
    found = overall_metrics(measure_errors([small, large], [guess(small, 0.0, 1.0), guess(large, 0.0, 0.0)]))
    assert found.force.mae.value == pytest.approx(1000 / 4)


def test_correlation_is_averaged_over_defects_not_pooled() -> None:
    """Two defects far apart in energy, each ranked the wrong way round: pooled, ρ would be positive."""
    frames = [frame(e, step=e) for e in range(3)] + [frame(100.0 + e, "v_B", step=e) for e in range(3)]
    energies = [2.0, 1.0, 0.0, 102.0, 101.0, 100.0]
    errors = measured(frames, energies)
    pooled = spearmanr([item.prediction.energy for item in frames], energies).statistic
    assert pooled > 0.5
    assert overall_metrics(errors).spearman.value == pytest.approx(-1.0)


def test_correlation_leaves_out_and_counts_what_cannot_be_ranked() -> None:
    frames = [
        *(frame(e, "v_A", step=i) for i, e in enumerate([0.0, 1.0, 2.0, 3.0])),
        *(frame(e, "two", step=i) for i, e in enumerate([0.0, 1.0])),
        *(frame(1.0, "level", step=i) for i in range(3)),
        *(frame(e, "flat", step=i) for i, e in enumerate([0.0, 1.0, 2.0])),
    ]
    energies = [0.0, 2.0, 1.0, 3.0, 0.0, 1.0, 3.0, 4.0, 5.0, 7.0, 7.0, 7.0]
    found = overall_metrics(measured(frames, energies))
    assert found.spearman.value == pytest.approx(0.8)
    assert (found.n_ranked, found.n_unranked) == (1, 3)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=12))
def test_correlation_is_spearmans_with_ties(pairs: list[tuple[int, int]]) -> None:
    frames = [frame(float(first), step=i) for i, (first, _) in enumerate(pairs)]
    found = rank_correlations(measured(frames, [float(second) for _, second in pairs]))[0]
    if len({a for a, _ in pairs}) == 1 or len({b for _, b in pairs}) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(*zip(*pairs, strict=True)).statistic)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=8), st.floats(-1000, 1000), st.floats(-1000, 1000), st.data())
def test_relative_errors_do_not_depend_on_where_energies_begin(
    energies: list[float], first: float, second: float, data: st.DataObject
) -> None:
    predicted = data.draw(st.lists(st.floats(-20, 20), min_size=len(energies), max_size=len(energies)))
    frames = [frame(round(energy, 3), step=i) for i, energy in enumerate(energies)]
    predicted = [round(energy, 3) for energy in predicted]
    moved = [frame(item.prediction.energy + round(first, 3), step=i) for i, item in enumerate(frames)]
    before = overall_metrics(measured(frames, predicted))
    after = overall_metrics(measured(moved, [energy + round(second, 3) for energy in predicted]))
    for name in ("relative", "relative_per_atom", "energy_shifted"):
        assert getattr(after, name).mae.value == pytest.approx(getattr(before, name).mae.value, abs=1e-6)
        assert getattr(after, name).rmse.value == pytest.approx(getattr(before, name).rmse.value, abs=1e-6)


def test_shift_belongs_to_a_composition_of_one_method() -> None:
    frames = [
        *(frame(e, "v_A", step=e) for e in range(2)),
        *(frame(e, "v_A", step=e, formula="NaCl2") for e in range(2)),
        *(frame(e, "v_A", step=e, method="other") for e in range(2)),
    ]
    found = overall_metrics(measured(frames, [10.0, 11.0, 20.0, 21.0, 30.0, 31.0]))
    assert found.energy_shifted.mae.value == pytest.approx(0.0, abs=1e-9)
    assert found.energy.mae.value > 1000


def test_supercells_of_one_defect_have_their_own_ground_states() -> None:
    frames = [
        frame(e, formula=f, step=i) for f, e0 in (("NaCl", 0), ("Na2Cl2", -50)) for i, e in enumerate((e0, e0 + 1))
    ]
    errors = measured(frames, [0.0, 1.0, -40.0, -39.0])
    assert len(errors.landscapes) == 2
    assert overall_metrics(errors).relative.mae.value == pytest.approx(0.0)


def test_a_frame_alone_has_no_relative_energy() -> None:
    found = overall_metrics(measured([frame(1.0)], [2.0]))
    assert np.isnan(found.relative.mae.value)
    assert found.relative.n_frames == found.energy_shifted.n_frames == 0
    assert found.energy.n_frames == 1


def test_bulk_is_kept_apart_and_hosts_are_told_apart() -> None:
    frames = [
        *(frame(e, step=e) for e in range(2)),
        *(frame(e, step=e, host="AC") for e in range(2)),
        *(frame(e, BULK, step=e) for e in range(2)),
    ]
    table = error_table(measured(frames, [0.0, 1.5, 0.0, 1.1, 0.0, 9.0]))
    assert table.overall.n_frames == 4
    assert table.overall.relative.mae.value == pytest.approx((0.5 + 0.1) / 4)
    assert table.bulk is not None
    assert table.bulk.relative.mae.value == pytest.approx(4.0)
    assert {host: found.relative.mae.value for host, found in table.by_host.items()} == pytest.approx(
        {"AB": 0.25, "AC": 0.05}
    )
    assert [str(item.defect_id) for item in table.by_defect] == ["AB v_A_0", "AC v_A_0"]


def test_failures_are_counted_not_averaged() -> None:
    frames = [frame(0.0), frame(1.0, step=1), frame(2.0, step=2)]
    predictions = [guess(frames[0], 0.0), None, guess(frames[2], np.nan)]
    table = error_table(measure_errors(frames, predictions))
    assert [origin.step for origin in table.failed] == [1, 2]
    assert table.overall.n_frames == 1


def test_no_frames_give_no_numbers() -> None:
    table = error_table(measure_errors([], []))
    assert table.overall.n_frames == 0
    assert np.isnan(table.overall.energy.mae.value)
    assert not table.by_host


def test_mismatched_input_is_refused() -> None:
    item = frame(0.0)
    with pytest.raises(ValueError, match="shapes"):
        measure_errors([item], [Prediction(0.0, np.zeros((3, 3)))])
    with pytest.raises(ValueError, match="shorter"):
        measure_errors([item], [])


class Fussy:
    """A surrogate that fails on sodium alone, and thereby on every batch with it."""

    info = SurrogateInfo("fussy", "none", "", "", None)

    def predict(self, structures: list[Atoms]) -> list[Prediction]:
        if any(str(atoms.symbols) == "Na" for atoms in structures):
            raise CalculationError("no sodium")
        return [Prediction(float(atoms.info["charge"]), np.zeros((len(atoms), 3))) for atoms in structures]


def test_predictions_stream_in_order_and_failures_cost_only_themselves() -> None:
    frames = [frame(0.0, formula="Na" if step % 10 == 0 else "NaCl", step=step) for step in range(50)]
    frames[1] = replace(frames[1], origin=replace(frames[1].origin, charge=-2))
    listener = Listening()
    found = list(predict_frames(Fussy(), iter(frames), listener))
    assert [item.origin.step for item, _ in found] == list(range(50))
    assert [item.origin.step for item, prediction in found if prediction is None] == [0, 10, 20, 30, 40]
    assert found[1][1] is not None
    assert found[1][1].energy == -2.0
    assert "no sodium" in listener.warnings[0]
    assert "5 of 50" in listener.warnings[-1]
    assert "charge" not in frames[1].atoms.info


def test_force_sample_is_uniform_and_bounded() -> None:
    sampler = ForceSampler(most=200)
    for step in range(2000):
        item = frame(0.0, step=step, forces=float(step))
        sampler.add(item, guess(item, 0.0, -float(step)))
    sample = sampler.result()
    assert (len(sample.reference), sample.n_seen) == (200, 4000)
    assert np.array_equal(sample.reference, -sample.predicted)
    # The mean of 200 uniform draws from 0 to 1999 has a standard deviation of 41.
    assert sample.reference[:, 0].mean() == pytest.approx(1000, abs=165)
