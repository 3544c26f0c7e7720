from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from defectscout.core.defect import Minimum, SamplingStructure
from defectscout.evaluation.agreement import Agreement
from defectscout.evaluation.confidence import Evidence, assess, bonds_were_erased
from defectscout.evaluation.trust import Ending, Surprise, Trust, trust
from defectscout.evaluation.unfamiliar import Kind, Unfamiliar
from minima.vacancy_cases import CUBIC, breathing, dimer, vacancy

GOOD = Agreement(40, 0.05, 0.97, 0.05, 0.98)
REFERENCE_ONLY = Evidence(
    surrogate=False, surrogate_tuned=False, unfamiliar=(), agreement=None, has_reference=True, n_sampling=15,
    n_surrogate_minima=0, erased_bonds=False, n_failed=0, n_unanswered=0, lower_set_aside=False,
    ground_state_converged=True, n_unconverged=0, only_unperturbed=False, n_minima=4, n_reached_once=0,
    ground_state_reached_once=False, found_new_bond=True, excess_charge=2,
    host_accepted_unstable=False,
)  # fmt: skip
TUNED = replace(REFERENCE_ONLY, surrogate=True, surrogate_tuned=True, agreement=GOOD, n_surrogate_minima=4)
UNTOUCHED = replace(TUNED, surrogate_tuned=False)
NAN = float("nan")


def new(kind: Kind) -> tuple[Unfamiliar, ...]:
    return (Unfamiliar(kind, f"Something is new: {kind}."),)


def loop(*surprises: Surprise) -> Trust:
    energies = [(0.1 * k, 0.1 * k) for k in range(5)]
    return trust(
        ending=Ending.QUIET, rounds=4, quiet_rounds=2, patience=2, minima=3, unfinished=0, energies=energies,
        spreads=(), checks=1, foreseen=0, surprises=surprises, window=0.5,
    )  # fmt: skip


def test_what_a_check_found_counts_near_the_ground_state_only() -> None:
    high = assess(replace(TUNED, learned=loop(Surprise("-30%", 0.7))))
    assert high.level == "high"
    assert high.reasons == (
        "The learning loop converged, and relaxations by the reference alone found no minimum within 0.5 eV of the "
        "ground state that it had missed.",
    )
    near = assess(replace(TUNED, learned=loop(Surprise("-30%", 0.7), Surprise("Dimer", 0.2))))
    assert near.level == "moderate"
    assert near.reasons == (
        "1 relaxation by the reference alone found 1 minimum within 0.5 eV of the ground state that the loop had not: "
        "there may be more.",
    )


def test_the_best_of_each_kind() -> None:
    assert assess(REFERENCE_ONLY).level == "high"
    assert assess(TUNED).level == "high"
    assert assess(UNTOUCHED).level == "moderate"
    assert assess(REFERENCE_ONLY).reasons == ("Every sampling structure was relaxed with the reference.",)


@pytest.mark.parametrize(
    ("start", "change", "level", "words"),
    [
        (REFERENCE_ONLY, {"host_accepted_unstable": True}, "low", "host is unstable"),
        (REFERENCE_ONLY, {"n_failed": 6}, "low", "6 relaxations failed"),
        (REFERENCE_ONLY, {"n_failed": 5}, "moderate", "5 relaxations failed"),
        (REFERENCE_ONLY, {"n_failed": 1}, "moderate", "1 relaxation failed"),
        (REFERENCE_ONLY, {"n_unanswered": 2}, "low", "2 candidates not relaxed"),
        (REFERENCE_ONLY, {"lower_set_aside": True}, "low", "lower in energy than the ground state"),
        (REFERENCE_ONLY, {"ground_state_converged": False}, "moderate", "upper bound"),
        (REFERENCE_ONLY, {"n_unconverged": 2}, "moderate", "2 minima above the ground state stopped at their"),
        (REFERENCE_ONLY, {"only_unperturbed": True}, "moderate", "saddle point"),
        (REFERENCE_ONLY, {"n_sampling": 4}, "moderate", "Only 4 sampling structures were"),
        (REFERENCE_ONLY, {"n_sampling": 1}, "moderate", "Only 1 sampling structure was"),
        (REFERENCE_ONLY, {"found_new_bond": False}, "moderate", "lacks 2 electrons"),
        (REFERENCE_ONLY, {"found_new_bond": False, "excess_charge": 1}, "high", "Every sampling structure"),
        (REFERENCE_ONLY, {"found_new_bond": False, "excess_charge": -2}, "high", "Every sampling structure"),
        (TUNED, {"has_reference": False}, "low", "do not rank"),
        (TUNED, {"agreement": None}, "moderate", "was not measured"),
        (TUNED, {"agreement": Agreement(0, NAN, NAN, NAN, NAN)}, "moderate", "was not measured"),
        (TUNED, {"agreement": Agreement(2, 0.05, 0.97, 0.1, NAN)}, "moderate", "could not be fully compared"),
        (TUNED, {"agreement": replace(GOOD, spearman=0.4)}, "low", "disagrees with the reference"),
        (TUNED, {"agreement": replace(GOOD, force_cosine=0.6)}, "low", "force cosine 0.60"),
        (TUNED, {"agreement": replace(GOOD, force_mae=0.4)}, "low", "force MAE 0.40 eV/Å"),
        (TUNED, {"agreement": replace(GOOD, spearman=0.8)}, "moderate", "agrees only roughly"),
        (TUNED, {"agreement": replace(GOOD, force_mae=0.2)}, "moderate", "agrees only roughly"),
        (TUNED, {"erased_bonds": True}, "moderate", "undid every short bond"),
        (TUNED, {"erased_bonds": True, "found_new_bond": False}, "low", "dimers may be missing"),
        (TUNED, {"found_new_bond": False}, "moderate", "every pair of neighbours"),
        (TUNED, {"n_surrogate_minima": 15}, "moderate", "No two sampling structures"),
        (TUNED, {"unfamiliar": new("family")}, "moderate", "new: family"),
        (TUNED, {"unfamiliar": new("charge")}, "moderate", "new: charge"),
        (TUNED, {"unfamiliar": new("method")}, "moderate", "new: method"),
        (TUNED, {"unfamiliar": new("unproven")}, "moderate", "new: unproven"),
        (TUNED, {"unfamiliar": new("elements")}, "moderate", "new: elements"),
        (TUNED, {"unfamiliar": new("elements"), "agreement": None}, "low", "new: elements"),
        (TUNED, {"unfamiliar": new("elements"), "agreement": replace(GOOD, force_mae=0.2)}, "low", "new: elements"),
        (TUNED, {"unfamiliar": new("family"), "agreement": None}, "moderate", "new: family"),
        (TUNED, {"unfamiliar": new("worse")}, "moderate", "new: worse"),
        (TUNED, {"unfamiliar": new("worse"), "found_new_bond": False}, "low", "tends to miss them"),
        (REFERENCE_ONLY, {"unfamiliar": new("worse")}, "high", "Every sampling structure"),
        (UNTOUCHED, {"found_new_bond": False}, "low", "tends to miss them"),
        (UNTOUCHED, {"erased_bonds": True, "found_new_bond": False, "excess_charge": 0}, "low", "bulk crystals"),
    ],
)  # fmt: skip
def test_each_rule(start: Evidence, change: dict[str, object], level: str, words: str) -> None:
    found = assess(replace(start, **change))
    assert found.level == level
    assert any(words in reason for reason in found.reasons), found.reasons


def test_an_untouched_surrogate_is_never_sure() -> None:
    choices = {
        "agreement": [None, GOOD],
        "n_surrogate_minima": [1, 4, 15],
        "erased_bonds": [True, False],
        "found_new_bond": [True, False],
        "excess_charge": [-2, 0, 2],
        "ground_state_converged": [True, False],
    }
    for values in itertools.product(*choices.values()):
        found = assess(replace(UNTOUCHED, **dict(zip(choices, values, strict=True))))
        assert found.level != "high"
        assert found.reasons


def test_what_weighs_most_comes_first_and_every_reason_is_a_sentence() -> None:
    bad = replace(
        UNTOUCHED, agreement=replace(GOOD, spearman=0.1), n_failed=2, erased_bonds=True, found_new_bond=False,
        ground_state_converged=False, host_accepted_unstable=True, n_surrogate_minima=1,
    )  # fmt: skip
    found = assess(bad)
    assert found.level == "low"
    assert len(found.reasons) == 7
    assert found.reasons[0].startswith("The host is unstable")
    assert all(word in " ".join(found.reasons[:4]) for word in ("undid", "disagrees", "lacks 2 electrons"))
    for reason in found.reasons:
        assert reason[0].isupper() or reason[0].isdigit()
        assert reason.endswith(".")
        assert "nan" not in reason


def test_worse_evidence_never_raises_the_level() -> None:
    order = ["low", "moderate", "high"]
    worse: list[dict[str, object]] = [
        {"host_accepted_unstable": True}, {"n_failed": 3}, {"ground_state_converged": False}, {"erased_bonds": True},
        {"n_unanswered": 1}, {"lower_set_aside": True}, {"n_unconverged": 1}, {"only_unperturbed": True},
        {"unfamiliar": new("elements")}, {"unfamiliar": new("worse")},
        {"found_new_bond": False}, {"has_reference": False}, {"agreement": replace(GOOD, force_cosine=0.5)},
    ]  # fmt: skip
    for start in (REFERENCE_ONLY, TUNED, UNTOUCHED):
        for first, second in itertools.permutations(worse, 2):
            once = assess(replace(start, **first)).level
            twice = assess(replace(start, **{**first, **second})).level
            assert order.index(twice) <= order.index(once)


def test_bonds_that_a_surrogate_erased() -> None:
    defect = vacancy(CUBIC)
    plain = SamplingStructure("Unperturbed", defect.atoms)
    sampled = SamplingStructure("Dimer", dimer(defect, length=2.0))
    symmetric = Minimum("Unperturbed", ("Unperturbed", "Dimer"), breathing(defect), 0.0)
    kept = Minimum("Dimer", ("Dimer",), dimer(defect), -0.7)
    assert bonds_were_erased(defect, [plain, sampled], [symmetric])
    assert not bonds_were_erased(defect, [plain, sampled], [symmetric, kept])
    assert not bonds_were_erased(defect, [plain], [symmetric])
    assert not bonds_were_erased(defect, [plain, sampled], [])


def test_numbers_that_are_not_known_are_not_told() -> None:
    (reason,) = assess(replace(TUNED, agreement=Agreement(2, 0.05, 0.97, 0.1, NAN))).reasons
    assert "nan" not in reason
    assert "(force MAE 0.05 eV/Å, force cosine 0.97, 2 frames)" in reason


def test_a_model_that_did_worse_is_judged_as_an_untouched_one() -> None:
    """In level always, whatever else is known; in words it is told apart."""
    choices = {
        "agreement": [None, GOOD, replace(GOOD, spearman=0.1)],
        "erased_bonds": [True, False],
        "found_new_bond": [True, False],
        "excess_charge": [0, 2],
        "n_failed": [0, 1, 10],
    }
    for values in itertools.product(*choices.values()):
        change = dict(zip(choices, values, strict=True))
        worse = assess(replace(TUNED, unfamiliar=new("worse"), **change))
        untouched = assess(replace(UNTOUCHED, **change))
        assert worse.level == untouched.level
        assert len(worse.reasons) == len(untouched.reasons)
        assert not any("never trained on defects" in reason for reason in worse.reasons)


@pytest.mark.parametrize(
    ("once", "ground_state", "level"),
    [(0, False, "high"), (1, False, "high"), (1, True, "moderate"), (2, False, "moderate")],
)
def test_minima_that_one_start_alone_led_to_say_that_more_are_likely(once: int, ground_state: bool, level: str) -> None:
    evidence = replace(REFERENCE_ONLY, n_minima=6, n_reached_once=once, ground_state_reached_once=ground_state)
    found = assess(evidence)
    assert found.level == level
    if level == "moderate":
        assert f"{once} of 6 minima w" in found.reasons[0]
        assert f"{once / 15:.0%} of further starts" in found.reasons[0]
        assert ("ground state among them" in found.reasons[0]) is ground_state


def test_with_few_starts_being_reached_once_says_nothing_more() -> None:
    evidence = replace(REFERENCE_ONLY, n_sampling=2, n_minima=2, n_reached_once=2, ground_state_reached_once=True)
    assert not any("further starts" in reason for reason in assess(evidence).reasons)
