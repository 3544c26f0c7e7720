from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.frames import RelaxationState
from defectscout.minima.distinct import distinct_minima
from defectscout.minima.settings import MinimaSettings
from minima.vacancy_cases import CUBIC, PAIRS, breathing, dimer, reference_search, relaxation, vacancy

SETTINGS = MinimaSettings()
DEFECT = vacancy(CUBIC)


def noisy(atoms: Atoms, seed: int) -> Atoms:
    other = atoms.copy()
    random = np.random.default_rng(seed)
    other.positions += random.normal(scale=0.015, size=other.positions.shape) + random.uniform(-3, 3, size=3)
    return other


RELAXED = [
    relaxation("Unperturbed", DEFECT.atoms, 0.0),
    relaxation("Rattled", noisy(DEFECT.atoms, 1), 0.002),
    *[relaxation(f"pair {a}{b}", noisy(dimer(DEFECT, (a, b)), 5 * a + b), -0.7 + 0.001 * a) for a, b in PAIRS],
    relaxation("breathing", breathing(DEFECT, -0.2), 0.3),
    relaxation("stopped", noisy(breathing(DEFECT, -0.2), 2), 0.29, RelaxationState.UNCONVERGED, "step limit"),
    relaxation("failed", None, 0.0, RelaxationState.FAILED, "the SCF did not converge"),
]


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(RELAXED))
def test_minima_do_not_depend_on_the_order(order: list) -> None:
    found = distinct_minima(DEFECT, order, SETTINGS)
    assert [m.representative for m in found.minima] == ["pair 01", "Unperturbed", "breathing"]
    assert [set(m.members) for m in found.minima] == [
        {f"pair {a}{b}" for a, b in PAIRS},
        {"Unperturbed", "Rattled"},
        {"breathing", "stopped"},
    ]
    assert [(f.label, f.reason) for f in found.flagged] == [("failed", "the SCF did not converge")]


def test_what_a_minimum_tells() -> None:
    ground, symmetric, high = distinct_minima(DEFECT, RELAXED, SETTINGS).minima
    assert ground.energy == -0.7
    assert [str(b) for b in ground.new_bonds] == [f"Te–Te {ground.new_bonds[0].length:.2f} Å"]
    assert ground.new_bonds[0].length == pytest.approx(2.75, abs=0.1)
    assert symmetric.new_bonds == ()
    assert symmetric.site_symmetry == "Td"
    # An unconverged relaxation that is lower does not stand for a minimum that a converged one reached.
    assert (high.representative, high.converged, high.members) == ("breathing", True, ("stopped", "breathing"))


def test_an_unconverged_relaxation_alone_is_kept_and_marked() -> None:
    end = relaxation("stopped", dimer(DEFECT), -1.0, RelaxationState.UNCONVERGED, "step limit")
    (minimum,) = distinct_minima(DEFECT, [end], SETTINGS).minima
    assert not minimum.converged


def test_equal_energies_go_by_label() -> None:
    ends = [relaxation(label, DEFECT.atoms, -1.0) for label in ("b", "a", "c")]
    (minimum,) = distinct_minima(DEFECT, ends, SETTINGS).minima
    assert (minimum.representative, minimum.members) == ("a", ("a", "b", "c"))


def test_alike_at_the_site_but_different_in_energy_are_two() -> None:
    gap = SETTINGS.energy_tolerance
    ends = [relaxation("low", DEFECT.atoms, -gap * 1.1), relaxation("high", DEFECT.atoms, 0.0)]
    assert len(distinct_minima(DEFECT, ends, SETTINGS).minima) == 2
    ends = [relaxation("low", DEFECT.atoms, -gap * 0.9), relaxation("high", DEFECT.atoms, 0.0)]
    assert len(distinct_minima(DEFECT, ends, SETTINGS).minima) == 1


def test_a_molten_structure_and_a_broken_energy_are_flagged_with_the_reason() -> None:
    molten = DEFECT.atoms.copy()
    molten.positions += np.random.default_rng(0).normal(scale=1.2, size=molten.positions.shape)
    found = distinct_minima(
        DEFECT,
        [
            relaxation("molten", molten, -9.0),
            relaxation("good", DEFECT.atoms, 0.0),
            relaxation("nan", DEFECT.atoms, float("nan")),
            relaxation("running", DEFECT.atoms, 0.0, RelaxationState.RUNNING),
        ],
        SETTINGS,
    )
    assert [m.representative for m in found.minima] == ["good"]
    reasons = {f.label: f.reason for f in found.flagged}
    assert "fell apart" in reasons["molten"]
    assert "not a finite number" in reasons["nan"]
    assert "not finished" in reasons["running"]


def test_nothing_in_nothing_out() -> None:
    found = distinct_minima(DEFECT, [], SETTINGS)
    assert (found.minima, found.flagged) == ((), ())
    found = distinct_minima(DEFECT, RELAXED[-1:], SETTINGS)
    assert found.minima == ()


def test_every_label_is_accounted_for_once() -> None:
    found = distinct_minima(DEFECT, RELAXED, SETTINGS)
    labels = [label for m in found.minima for label in m.members] + [f.label for f in found.flagged]
    assert sorted(labels) == sorted(r.label for r in RELAXED)


COUNTS = {
    "CdTe": [(-2.15, 3), (-1.13, 2), (-0.72, 2), (-0.68, 2), (0.0, 6)],
    "CdSe": [(-3.14, 4), (-1.72, 1), (-1.47, 1), (-0.98, 1), (-0.90, 2), (0.0, 6)],
}


@pytest.mark.parametrize("host", ["CdTe", "CdSe"])
def test_minima_of_a_real_search(shared_data: Path, host: str) -> None:
    defect, ends = reference_search(shared_data / "gfn1-xtb" / f"{host}_v_Cd_0")
    found = distinct_minima(defect, ends, SETTINGS)
    zero = next(e.final.prediction.energy for e in ends if e.label == "Unperturbed")
    assert found.flagged == ()
    assert [len(m.members) for m in found.minima] == [count for _, count in COUNTS[host]]
    lowering = [m.energy - zero for m in found.minima]
    assert lowering == pytest.approx([energy for energy, _ in COUNTS[host]], abs=0.011)
    assert found.minima[-1].site_symmetry == "Td"
