"""What a search found of what a reference-only search found: the rules, on minima made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from defectscout.core.defect import Defect, Minimum
from defectscout.core.errors import DatasetError, NothingFoundError
from defectscout.evaluation.discovery import (
    DiscoverySettings,
    SearchOutcome,
    discovery_curve,
    energy_offset,
    judge_discovery,
)
from minima.vacancy_cases import CUBIC, FCC, FCC_SKEWED, breathing, dimer, vacancy

DEFECT = vacancy(CUBIC)
SYMMETRIC, DIMER, SHORT = breathing(DEFECT), dimer(DEFECT), dimer(DEFECT, length=2.4)
# Multiples of 1/8 eV, whose differences are exact.
ENERGY = st.integers(-400, 400).map(lambda eighths: eighths / 8)
ENERGIES = st.lists(ENERGY | st.just(float("nan")), min_size=1, max_size=30)


def outcome(
    minima: Sequence[tuple[Atoms, float]], calls: int = 100, defect: Defect = DEFECT, **rest: float
) -> SearchOutcome:
    ordered = sorted(minima, key=lambda item: item[1])
    found = tuple(Minimum(f"m{k}", (f"m{k}",), atoms, energy) for k, (atoms, energy) in enumerate(ordered))
    return SearchOutcome(defect, found, rest.get("unperturbed"), calls, int(rest.get("check_calls", 0)))


REFERENCE = outcome([(DIMER, -11.0), (SYMMETRIC, -10.7), (SHORT, -10.4)], calls=1000)


@given(ENERGIES, ENERGY)
def test_a_curve_never_rises_and_ends_at_the_lowest(energies: list[float], zero: float) -> None:
    curve = discovery_curve(energies, zero)
    known = curve.energies[np.isfinite(curve.energies)]
    assert curve.calls.tolist() == list(range(1, len(energies) + 1))
    assert (np.diff(known) <= 0).all()
    if np.isfinite(energies).any():
        assert curve.lowest == np.nanmin(energies) - zero
        assert curve.calls_to(curve.lowest) == int(np.nanargmin(energies)) + 1
    else:
        assert np.isnan(curve.lowest)
        assert curve.calls_to(1e9) is None


def test_a_failed_call_counts_but_tells_nothing() -> None:
    curve = discovery_curve([float("nan"), -1.0, float("nan"), -2.0], zero=-2.0)
    assert np.isnan(curve.energies[0])
    assert curve.energies[1:].tolist() == [1.0, 1.0, 0.0]
    assert (curve.calls_to(1.0), curve.calls_to(0.5), curve.calls_to(-0.1)) == (2, 4, None)
    assert np.isnan(discovery_curve([], 0.0).lowest)


@given(ENERGIES, ENERGY)
def test_steps_say_all_that_a_curve_says(energies: list[float], zero: float) -> None:
    curve = discovery_curve(energies, zero)
    steps = curve.steps()
    inner = steps.energies[:-1]
    assert (np.diff(inner) < 0).all()
    assert np.isfinite(inner).all()
    assert steps.calls[-1:].tolist() == curve.calls[-1:].tolist()
    for energy in curve.energies:
        assert steps.calls_to(energy) == curve.calls_to(energy)


def test_steps_of_a_curve_are_its_falls_and_its_end() -> None:
    steps = discovery_curve([float("nan"), 2.0, 2.0, 1.0, 3.0, 1.0], 0.0).steps()
    assert (steps.calls.tolist(), steps.energies.tolist()) == ([2, 4, 6], [2.0, 1.0, 1.0])
    assert len(discovery_curve([], 0.0).steps().calls) == 0


def test_a_search_judged_by_itself_has_everything() -> None:
    judged = judge_discovery(REFERENCE, REFERENCE)
    assert (judged.found, judged.ground_state, judged.share_of_calls) == ("yes", 0.0, 1.0)
    # The third lies 0.6 eV up, outside the window of low-lying ones.
    assert (judged.recovered, judged.missed, len(judged.minima)) == (2, 0, 3)
    assert all(item.found is not None and item.distance < 1e-12 for item in judged.minima)


def test_symmetry_equivalent_copies_in_another_order_of_atoms_are_the_same_minimum() -> None:
    other = vacancy(CUBIC)
    order = np.argsort(-other.atoms.numbers, kind="stable")
    shuffled = Defect("v_Cd", 0, other.kind, other.atoms[order], other.bulk, other.site, 1, "Td", 2)
    search = outcome([(dimer(other, (2, 3))[order], -10.99), (SYMMETRIC[order], -10.71)], 40, shuffled, check_calls=10)
    judged = judge_discovery(REFERENCE, search)
    assert (judged.found, judged.recovered, judged.missed) == ("yes", 2, 0)
    assert judged.ground_state == pytest.approx(0.01)
    assert judged.share_of_calls == pytest.approx(0.05)


def test_same_energy_with_another_structure_is_not_found() -> None:
    judged = judge_discovery(REFERENCE, outcome([(SHORT, -11.0), (SYMMETRIC, -10.7)]))
    assert (judged.found, judged.recovered, judged.missed) == ("no", 1, 1)
    assert judged.ground_state == 0.0
    assert judged.minima[0].distance > DiscoverySettings().threshold


def test_same_structure_with_another_energy_is_not_found() -> None:
    judged = judge_discovery(REFERENCE, outcome([(DIMER, -10.97)]))
    assert (judged.found, judged.recovered) == ("no", 0)
    assert judge_discovery(REFERENCE, outcome([(DIMER, -10.985)])).found == "yes"


def test_a_lower_ground_state_beats_and_recovers_only_what_it_has() -> None:
    beaten = judge_discovery(REFERENCE, outcome([(SHORT, -11.5), (SYMMETRIC, -10.7)]))
    assert (beaten.found, beaten.recovered, beaten.missed) == ("beaten", 1, 1)
    assert beaten.ground_state == pytest.approx(-0.5)
    # 15 meV lower is no other energy: what counts then is whether it is the same structure.
    assert judge_discovery(REFERENCE, outcome([(SHORT, -11.015)])).found == "no"


def test_one_minimum_cannot_stand_for_two() -> None:
    nearly = breathing(DEFECT, -0.101)
    twins = outcome([(SYMMETRIC, -10.0), (nearly, -9.995)])
    judged = judge_discovery(twins, outcome([(SYMMETRIC, -9.999)]))
    assert (judged.recovered, judged.missed) == (1, 1)
    both = judge_discovery(twins, outcome([(nearly, -9.996), (SYMMETRIC, -9.999)]))
    assert (both.recovered, both.missed) == (2, 0)


def test_matching_takes_as_many_as_it_can() -> None:
    """The nearest pair first would leave one without a counterpart."""
    settings = DiscoverySettings(energy_tolerance=0.5)
    chain = [breathing(DEFECT, -0.1 - step) for step in (0.0, 0.006, 0.010)]
    first, middle, last = chain
    low = outcome([(first, -10.0), (middle, -9.9)])
    judged = judge_discovery(low, outcome([(middle, -10.0), (last, -9.9)]), settings)
    assert judged.recovered == 2


def test_a_search_without_minima_found_nothing() -> None:
    judged = judge_discovery(REFERENCE, outcome([]))
    assert (judged.found, judged.recovered, judged.missed) == ("no", 0, 2)
    assert np.isnan(judged.ground_state)
    assert np.isnan(judged.minima[0].distance)
    with pytest.raises(NothingFoundError, match="v_Cd_0 has no minimum"):
        judge_discovery(outcome([]), REFERENCE)


def test_lattices_relaxed_apart_are_compared_by_the_unperturbed_structure() -> None:
    swollen = vacancy(CUBIC)
    for atoms in (swollen.atoms, swollen.bulk):
        atoms.set_cell(1.005 * atoms.cell.array, scale_atoms=True)
    search = outcome([(dimer(swollen), -10.9), (breathing(swollen), -10.6)], 50, swollen, unperturbed=-10.6)
    with pytest.raises(DatasetError, match="not both searches relaxed Unperturbed"):
        judge_discovery(REFERENCE, search)
    reference = outcome([(DIMER, -11.0), (SYMMETRIC, -10.7)], unperturbed=-10.7)
    judged = judge_discovery(reference, search)
    assert judged.offset == pytest.approx(0.1)
    assert (judged.found, judged.recovered) == ("yes", 2)
    assert judged.ground_state == pytest.approx(0.0)


def test_one_lattice_may_be_written_in_many_ways() -> None:
    plain, skewed = vacancy(FCC), vacancy(FCC_SKEWED)
    assert energy_offset(outcome([], defect=plain), outcome([], defect=skewed)) == 0.0
    with pytest.raises(DatasetError, match="cannot be compared"):
        energy_offset(REFERENCE, outcome([], defect=plain))


def test_real_searches_of_one_defect(shared_data: Path) -> None:
    """CdTe's 15 starts against a search that relaxed but four of them."""
    from dataclasses import replace

    from defectscout.learning.readers import SourceDefaults
    from defectscout.workflow.discovery import read_reference_frames

    found = read_reference_frames(shared_data / "gfn1-xtb" / "CdTe_v_Cd_0", SourceDefaults(method="gfn1-xtb"))
    whole = found.outcome
    assert whole.calls == len(found.energies) == 947
    assert len(whole.minima) == 5
    lowest = whole.minima[0]
    assert [round(bond.length, 2) for bond in lowest.new_bonds] == [2.72, 2.72]
    part = replace(whole, minima=(lowest, whole.minima[-1]), calls=200)
    judged = judge_discovery(whole, part, DiscoverySettings(window=3.0))
    assert (judged.found, judged.recovered, judged.missed) == ("yes", 2, 3)
    without = judge_discovery(whole, replace(whole, minima=whole.minima[1:]))
    # Nothing else lies within 0.5 eV of the ground state.
    assert (without.found, without.recovered, without.missed) == ("no", 0, 1)
