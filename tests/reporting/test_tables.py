"""What stands in the terminal, on an answer made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from defectscout.core.defect import Bond, Minimum
from defectscout.evaluation.agreement import Agreement
from defectscout.evaluation.confidence import Confidence
from defectscout.evaluation.funnel import Funnel
from defectscout.references.base import ElectronicState
from defectscout.reporting.tables import comparison_view, defect_view, plan_view, result_view
from defectscout.workflow.compare import DefectComparison, SharedMinimum
from defectscout.workflow.plan import DefectPlan, Plan
from defectscout.workflow.results import DefectResult, RankedMinimum, SearchResult
from defectscout.workflow.stages.candidates import Candidate, DefectCandidates, Origin
from defectscout.workflow.stages.host import HostReport
from minima.vacancy_cases import CUBIC, vacancy

DEFECT = vacancy(CUBIC)
HOST = HostReport("CdTe", "F-43m", ((1, 0, 0), (0, 1, 0), (0, 0, 1)), 64, 13.08, length_changes=(0.017, 0.017, 0.017))
FUNNEL = Funnel(15, 15, 1, 0, 2, 2, 2, 900, 80, 950)
CANDIDATES = DefectCandidates(
    candidates=(
        Candidate("Unperturbed", ("Unperturbed",), Origin.SAMPLED, surrogate_energy=None),
        Candidate("Dimer", ("Dimer", "Bond_Distortion_-60.0%"), Origin.SCOUTED, surrogate_energy=-3.5),
        Candidate("Rattled", ("Rattled",), Origin.SCOUTED, surrogate_energy=-3.25),
    )
)


def ranked(rank: int, energy: float, lowering: float | None, bonds: tuple[Bond, ...], symmetry: str) -> RankedMinimum:
    minimum = Minimum("Dimer", ("Dimer",), DEFECT.atoms, energy, bonds, symmetry, converged=rank == 0)
    sampled = ("Dimer", "Bond_Distortion_-60.0%", "Bond_Distortion_-50.0%", "Rattled", "Unperturbed")[rank:]
    return RankedMinimum(rank, minimum, ("Dimer",), sampled, energy + 10.5, lowering, None if rank else 0.0)


RESULT = DefectResult(
    defect=DEFECT,
    symmetry_before="Td",
    minima=(
        ranked(0, -10.5, -0.755, (Bond(("Te", "Te"), 2.745, (3, 4)),), "C2v"),
        ranked(1, -9.745, None, (), "Td"),
    ),
    candidates=CANDIDATES,
    set_aside=(("Bond_Distortion_60.0%", "the SCF did not converge"),),
    funnel=FUNNEL,
    agreement=Agreement(24, 0.123, 0.87, 0.2, 0.654),
    confidence=Confidence("moderate", ("1 relaxation failed or lost the host; what it leads to is not known.",)),
    state=ElectronicState(0, 2, "odd number of electrons: one unpaired (doublet)"),
)


def text(view: RenderableType, width: int = 200) -> str:
    console = Console(width=width, record=True, quiet=False, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(view)
    return console.export_text()


def shown(item: DefectResult, reference: str = "gfn1-xtb") -> str:
    return text(result_view(SearchResult(Path("out"), HOST, DEFECT.bulk, "chgnet", reference, {"v_Cd_0": item})))


def row(table: str, start: str) -> list[str]:
    """The cells of the row that begins with `start`."""
    (line,) = (line for line in table.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_nothing_is_cut_off_on_a_terminal_of_80_columns() -> None:
    wide, narrow = text(defect_view(RESULT, "gfn1-xtb")), text(defect_view(RESULT, "gfn1-xtb"), width=80)
    assert "…" not in narrow
    assert max(len(line) for line in narrow.splitlines()) <= 80
    assert sorted("".join(narrow.split())) == sorted("".join(wide.split()))


def test_the_minima_with_all_that_is_known_of_them() -> None:
    table = shown(RESULT)
    ground, metastable = row(table, "ground state"), row(table, "metastable 1")
    assert ground[1:8] == [
        "0.000",
        "-0.755",
        "0.000",
        "Te–Te 2.75 Å",
        "Td → C2v",
        "yes",
        "Dimer, -60.0%, -50.0% and 2 more",
    ]
    assert metastable[1:7] == ["0.755", "?", "–", "none near", "Td", "no"]


def test_host_funnel_agreement_and_confidence() -> None:
    table = shown(RESULT)
    assert "CdTe (F-43m), 64-atom supercell, 13.1 Å between images; lattice +1.7%, +1.7%, +1.7%" in table
    assert "surrogate chgnet, reference gfn1-xtb" in table
    assert "2 holes, site symmetry Td (Td in the supercell); odd number of electrons" in table
    assert "15 → 2 candidates → 2 minima; force calls: 900 surrogate, 80 reference" in table
    assert "(950 force calls): 870 saved, 92%" in table
    assert "24 frames of this defect: force MAE 0.12 eV/Å, cosine 0.87" in table
    assert "How sure: moderate" in table
    assert "- 1 relaxation failed or lost the host" in table
    assert row(table, "Bond_Distortion_60.0%") == ["Bond_Distortion_60.0%", "the SCF did not converge"]


def test_the_lattice_in_which_the_surrogate_scouted() -> None:
    result = SearchResult(Path("out"), HOST, DEFECT.bulk, "chgnet", "none", {"v_Cd_0": RESULT}, lattice_scale=1.0219)
    assert "surrogate chgnet in its own lattice (+2.2%), reference" in text(result_view(result))


def test_excess_electrons_and_a_kept_host() -> None:
    anion = replace(RESULT, defect=replace(DEFECT, excess_charge=-2), state=None)
    assert "2 excess electrons" in shown(anion)
    kept = replace(HOST, length_changes=(), kept="asked for with --keep-host")
    table = text(result_view(SearchResult(Path("out"), kept, DEFECT.bulk, "", "none", {"v_Cd_0": anion})))
    assert "kept as read: asked for with --keep-host" in table
    assert "surrogate none" in table


def test_without_an_answer_the_candidates_are_shown() -> None:
    table = shown(replace(RESULT, minima=(), agreement=None), "none")
    assert "ground state" not in table
    assert row(table, "Unperturbed") == ["Unperturbed", "–", "Unperturbed"]
    assert row(table, "Dimer") == ["Dimer", "0.000", "Dimer, -60.0%"]
    assert row(table, "Rattled") == ["Rattled", "0.250", "Rattled"]
    assert "frames of this defect" not in table


def test_savings_are_told_only_against_a_baseline() -> None:
    assert "saved" not in shown(replace(RESULT, funnel=replace(FUNNEL, reference_only_calls=None)))


@pytest.mark.parametrize("reference_seconds", [2.5, None])
def test_the_plan(reference_seconds: float | None) -> None:
    defects = (DefectPlan("v_Cd_0", 63, 2, 15, (2, 15)), DefectPlan("v_Te_0", 63, -2, 15, (15, 15)))
    table = text(plan_view(Plan("CdTe", 64, 25, defects, 2250, (320, 1200), 0.25, reference_seconds, 2)))
    assert row(table, "v_Cd_0") == ["v_Cd_0", "63", "2", "15", "2 to 15"]
    assert row(table, "v_Te_0") == ["v_Te_0", "63", "-2", "15", "15"]
    assert "Host: about 25 reference force calls." in table
    assert "about 2250 surrogate force calls of 0.25 s each" in table
    promised = "typically 320, at most about 1200 force calls of 2.5 s each, 2 at once"
    assert (promised in table) == (reference_seconds is not None)
    # (2250 × 0.25 + 25 × 2.5 + 320 × 2.5 / 2) s, and with 1200
    assert ("roughly 17 min, at most about 35 min" in table) == (reference_seconds is not None)


def test_the_plan_of_a_search_that_learns() -> None:
    defects = (DefectPlan("v_Cd_0", 63, 2, 15, None),)
    found = Plan("CdTe", 64, 25, defects, 7500, (120, 342), 0.25, 2.5, 4, "learn", 5)
    table = text(plan_view(found))
    assert "candidates" not in table
    assert row(table, "v_Cd_0") == ["v_Cd_0", "63", "2", "15"]
    assert "about 7500 surrogate force calls of 0.25 s each, in typically 5 rounds." in table
    assert "typically 120, at most about 342 force calls of 2.5 s each, up to 4 at once." in table
    # (7500 × 0.25 + 25 × 2.5 + 120 × 2.5 / 1.5) s, and with 342
    assert "roughly 36 min, at most about 42 min, plus tuning." in table


def test_a_comparison() -> None:
    minima = (SharedMinimum(0.0, ("Te–Te 2.75 Å",), None, 0.0), SharedMinimum(0.755, (), 0.755, 0.76))
    table = text(comparison_view("scouted", "whole", (DefectComparison("v_Cd_0", minima, 80, 950, False, True),)))
    assert row(table, "          0.000")[1:] == ["Te–Te 2.75 Å", "missed", "0.000"]
    assert "scouted missed the ground state of v_Cd_0." in table
    assert "whole missed" not in table
    assert "80" in table
    assert "950" in table
