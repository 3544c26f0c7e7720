"""Element references: exact where determined, lexicographic where not, and said in words."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.errors import DatasetError, SettingsError, UnsupportedElementError
from defectscout.learning.element_references import ElementReferences, ReferenceItem, fit_references
from defectscout.learning.settings import TrainSettings

TRUE = {"Cd": -1.5, "Te": -3.25, "Zn": -0.75, "Se": -4.0, "In": -2.5, "P": -5.0}
BULK_FIRST = TrainSettings()
MIN_NORM = TrainSettings(undetermined_references="minimum-norm")
ALL = TrainSettings(element_references="all")


def exact(composition: dict[str, int], is_bulk: bool, shift: float = 0.0, method: str = "xtb") -> ReferenceItem:
    energy = sum(TRUE[symbol] * count for symbol, count in composition.items())
    return ReferenceItem(composition, energy + shift, is_bulk, method)


def bulk(**composition: int) -> ReferenceItem:
    return exact(composition, True)


def defect(**composition: int) -> ReferenceItem:
    return exact(composition, False)


@pytest.mark.parametrize("train_settings", [BULK_FIRST, MIN_NORM, ALL])
def test_recovers_references_that_bulk_determines(train_settings: TrainSettings) -> None:
    items = [
        bulk(Cd=32, Te=32),
        bulk(Cd=32, Se=32),
        bulk(Cd=2, Te=1, Se=5),
        bulk(Zn=4, Te=4),
        bulk(In=3, P=1),
        bulk(P=4),
    ]
    references = fit_references(items, train_settings)
    assert references.values["xtb"] == pytest.approx(TRUE, abs=1e-9)
    assert references.notes == ()
    assert references.energy("xtb", {"Cd": 31, "Te": 32}) == pytest.approx(31 * -1.5 + 32 * -3.25)


def test_one_host_is_settled_by_its_defects() -> None:
    references = fit_references([bulk(Cd=27, Te=27), defect(Cd=26, Te=27)], BULK_FIRST)
    assert references.values["xtb"] == pytest.approx({"Cd": -1.5, "Te": -3.25}, abs=1e-8)
    (note,) = references.notes
    assert "only 1 composition for 2 elements: Cd and Te are not told apart by bulk frames" in note
    assert "settled by the lowest frame of each defect" in note
    assert "xtb" in note


def test_one_host_with_minimum_norm_gives_both_elements_the_same() -> None:
    references = fit_references([bulk(Cd=27, Te=27), defect(Cd=26, Te=27)], MIN_NORM)
    mean = (-1.5 - 3.25) / 2
    assert references.values["xtb"] == pytest.approx({"Cd": mean, "Te": mean}, abs=1e-12)
    assert "settled by minimum norm" in references.notes[0]


def test_the_bulk_fit_is_never_made_worse_by_defects() -> None:
    # Overdetermined and inconsistent bulk energies, in two open directions, and defects that pull elsewhere.
    items = [
        exact({"Cd": 1, "Te": 1}, True, 0.3),
        exact({"Zn": 1, "Te": 1}, True, -0.2),
        exact({"Cd": 1, "Zn": 1, "Te": 2}, True, 0.9),
        exact({"In": 1, "P": 1}, True, 0.1),
    ]
    pulls = [
        exact({"Cd": 31, "Te": 32}, False, 8.0),
        exact({"Zn": 33, "Te": 32}, False, -3.0),
        exact({"In": 31, "P": 32}, False, 5.0),
    ]
    with_defects = fit_references(items + pulls, BULK_FIRST)
    bulk_only = fit_references(items, BULK_FIRST)
    for item in items:
        ours, theirs = (r.energy("xtb", item.composition) for r in (with_defects, bulk_only))
        assert ours == pytest.approx(theirs, abs=1e-9)
    assert with_defects.values["xtb"]["In"] != pytest.approx(bulk_only.values["xtb"]["In"], abs=0.1)


def test_a_dopant_that_no_bulk_frame_holds() -> None:
    items = [bulk(Cd=1, Te=1), bulk(Cd=3, Te=1), defect(Cd=31, Te=32, In=1)]
    references = fit_references(items, BULK_FIRST)
    assert references.values["xtb"] == pytest.approx({"Cd": -1.5, "In": -2.5, "Te": -3.25}, abs=1e-8)
    assert any("bulk frames say nothing of In" in note for note in references.notes)


def test_what_defects_leave_open_is_of_minimum_norm_and_said() -> None:
    # A defect with the composition of the bulk says nothing new: not even by round-off.
    references = fit_references([bulk(Cd=27, Te=27), exact({"Cd": 27, "Te": 27}, False, 3.0)], BULK_FIRST)
    mean = (-1.5 - 3.25) / 2
    assert references.values["xtb"] == pytest.approx({"Cd": mean, "Te": mean}, abs=1e-12)
    assert "not told apart by bulk and defect frames together; settled by minimum norm" in references.notes[1]


def test_separate_hosts_are_told_separately() -> None:
    notes = fit_references([bulk(Cd=1, Te=1), bulk(Zn=1, Te=1), bulk(In=1, P=1)], BULK_FIRST).notes
    assert len(notes) == 2
    assert "only 2 independent compositions for 3 elements: Cd, Te and Zn" in notes[0]
    assert "only 1 composition for 2 elements: In and P" in notes[1]


def test_without_bulk_frames_defects_are_used_and_said() -> None:
    references = fit_references([defect(Cd=26, Te=27), defect(Cd=27, Te=26)], MIN_NORM)
    assert references.values["xtb"] == pytest.approx({"Cd": -1.5, "Te": -3.25}, abs=1e-8)
    assert "no bulk frames" in references.notes[0]


def test_the_lowest_defect_frame_counts_not_distorted_ones() -> None:
    relaxed = defect(Cd=26, Te=27)
    distorted = [exact({"Cd": 26, "Te": 27}, False, shift) for shift in (1.0, 12.0, 30.0)]
    references = fit_references([bulk(Cd=27, Te=27), *distorted, relaxed], BULK_FIRST)
    assert references.values["xtb"] == pytest.approx({"Cd": -1.5, "Te": -3.25}, abs=1e-8)


def test_fine_tuning_picks_the_lowest_by_total_energy_not_by_difference() -> None:
    composition = {"Cd": 26, "Te": 27}
    right = exact(composition, False)
    stable = ReferenceItem(composition, right.energy, False, "xtb", total_energy=-900.0)
    outlier = ReferenceItem(composition, right.energy - 4.0, False, "xtb", total_energy=-880.0)
    references = fit_references([bulk(Cd=27, Te=27), outlier, stable], BULK_FIRST)
    assert references.values["xtb"] == pytest.approx({"Cd": -1.5, "Te": -3.25}, abs=1e-8)


def test_each_charge_state_has_its_own_lowest_frame() -> None:
    composition = {"Cd": 26, "Te": 27}
    energy = exact(composition, False).energy
    charged = [
        ReferenceItem(composition, energy + shift, False, "xtb", defect=name)
        for name, shifts in {"v_Cd_0": (0.0, 9.0), "v_Cd_+1": (-2.0, 7.0), "v_Cd_-1": (2.0, 4.0)}.items()
        for shift in shifts
    ]
    references = fit_references([bulk(Cd=27, Te=27), *charged], BULK_FIRST)
    assert references.values["xtb"] == pytest.approx({"Cd": -1.5, "Te": -3.25}, abs=1e-8)


def test_many_frames_of_one_host_do_not_outvote_another() -> None:
    # Two inconsistent compositions of one direction: the same weight each, whatever the number of frames and cells.
    few = [ReferenceItem({"P": 4}, 4 * -5.0, True, "xtb"), bulk(In=1, P=1), exact({"In": 1, "P": 3}, True, 1.0)]
    many = [*few, *([few[2]] * 50), exact({"In": 4, "P": 12}, True, 4.0)]
    assert fit_references(few, BULK_FIRST).values["xtb"] == pytest.approx(
        fit_references(many, BULK_FIRST).values["xtb"]
    )


def test_all_uses_defects_beside_bulk() -> None:
    items = [bulk(Cd=27, Te=27), defect(Cd=26, Te=27), exact({"Cd": 26, "Te": 27}, False, 2.0)]
    values = fit_references(items, ALL).values["xtb"]
    # Two rows, two unknowns: exact, with the mean of the defect's frames.
    assert 26 * values["Cd"] + 27 * values["Te"] == pytest.approx(26 * -1.5 + 27 * -3.25 + 1.0)


def test_methods_are_fitted_apart() -> None:
    items = [bulk(Cd=1, Te=1), exact({"Cd": 1, "Te": 1}, True, -100.0, method="HSE06")]
    references = fit_references(items, BULK_FIRST)
    assert references.energy("HSE06", {"Cd": 1, "Te": 1}) == pytest.approx(-104.75)
    assert references.energy("xtb", {"Cd": 1, "Te": 1}) == pytest.approx(-4.75)
    with pytest.raises(DatasetError, match="HSE06, xtb"):
        references.energy("PBE", {"Cd": 1})
    with pytest.raises(UnsupportedElementError, match="Se"):
        references.energy("xtb", {"Cd": 1, "Se": 1})


def test_isolated_atoms() -> None:
    atoms = {"Cd": -0.5, "Te": -1.0, "Zn": 9.0}
    isolated = TrainSettings(element_references="isolated", isolated_atoms=atoms)
    assert fit_references([bulk(Cd=1, Te=1)], isolated) == ElementReferences({"xtb": {"Cd": -0.5, "Te": -1.0}})
    with pytest.raises(SettingsError, match="isolated atom of P "):
        fit_references([bulk(Cd=1, P=1)], isolated)
    with pytest.raises(SettingsError, match="one method"):
        fit_references([bulk(Cd=1, Te=1), exact({"Cd": 1}, True, method="PBE")], isolated)


def test_impossible_items() -> None:
    with pytest.raises(DatasetError, match="without frames"):
        fit_references([], BULK_FIRST)
    with pytest.raises(DatasetError, match="finite"):
        fit_references([exact({"Cd": 1}, True, float("nan"))], BULK_FIRST)
    with pytest.raises(DatasetError, match="composition"):
        fit_references([ReferenceItem({}, 0.0, True, "xtb")], BULK_FIRST)


compositions = st.dictionaries(st.sampled_from(sorted(TRUE)), st.integers(1, 40), min_size=1, max_size=3)
frames = st.builds(
    ReferenceItem, compositions, st.floats(-500, 500), st.booleans(), st.just("xtb"), st.sampled_from(["", "a", "b"])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(frames, min_size=1, max_size=14), st.randoms(use_true_random=False), st.sampled_from([BULK_FIRST, ALL]))
def test_order_does_not_matter(
    items: list[ReferenceItem], shuffler: random.Random, train_settings: TrainSettings
) -> None:
    shuffled = list(items)
    shuffler.shuffle(shuffled)
    assert fit_references(items, train_settings) == fit_references(shuffled, train_settings)


@settings(max_examples=60, deadline=None)
@given(st.lists(frames, min_size=2, max_size=14))
def test_bulk_residual_is_the_smallest_there_is(items: list[ReferenceItem]) -> None:
    bulk_items = {tuple(sorted(item.composition.items())): item for item in items if item.is_bulk}
    if not bulk_items:
        return
    rest = [item for item in items if not item.is_bulk]
    used = list(bulk_items.values())
    values = fit_references([*used, *rest], BULK_FIRST).values["xtb"]
    alone = fit_references(used, MIN_NORM).values["xtb"]
    for item in used:
        n_atoms = sum(item.composition.values())
        ours = sum(values[symbol] * count for symbol, count in item.composition.items())
        theirs = sum(alone[symbol] * count for symbol, count in item.composition.items())
        # Relative to the size of the references: nearly parallel compositions give large ones.
        scale = 1.0 + max(map(abs, values.values()))
        assert abs(ours - theirs) / n_atoms < 1e-9 * scale


@settings(max_examples=60, deadline=None)
@given(st.lists(compositions, min_size=1, max_size=6))
def test_exact_data_is_reproduced_with_minimum_norm(found: list[dict[str, int]]) -> None:
    values = fit_references([exact(composition, True) for composition in found], BULK_FIRST).values["xtb"]
    for composition in found:
        predicted = sum(values[symbol] * count for symbol, count in composition.items())
        assert predicted == pytest.approx(sum(TRUE[s] * n for s, n in composition.items()), abs=1e-6)
    elements = sorted(values)
    assert np.linalg.norm([values[s] for s in elements]) <= np.linalg.norm([TRUE[s] for s in elements]) + 1e-7
