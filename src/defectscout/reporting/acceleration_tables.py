"""Tables of what searches found for what they took."""

from __future__ import annotations

from typing import Final

from defectscout.analysis.acceleration import Acceleration
from defectscout.reporting.analysis_tables import DEFECT, FINISHED, HOST, UNFINISHED_NOTE, count
from defectscout.reporting.table import Column, Table

_HOUR: Final = 3600.0


def funnel_table(result: Acceleration) -> Table:
    """From sampling structures to minima (paper, table II)."""
    notes = [f"{note}." for note in result.notes]
    if result.share_found is not None:
        compared = sum(row.finished and row.found is not None for row in result.funnels)
        notes.append(
            f"Ground state found or beaten (within 20 meV) in {round(compared * result.share_found)} of {compared} "
            "finished searches that have a reference-only search to compare with."
        )
    if not all(row.finished for row in result.funnels):
        notes.append(UNFINISHED_NOTE)
    return Table(
        "funnel",
        "The search funnel",
        (
            HOST,
            DEFECT,
            count("sampling structures", "sampling_structures"),
            count("surrogate minima", "surrogate_minima"),
            count("candidates", "candidates"),
            count("minima", "minima"),
            count("reference-only minima", "reference_only_minima"),
            Column("symmetry broken", "symmetry_broken"),
            Column("ground state found", "ground_state_found"),
            Column("against reference-only", "difference_eV", "eV", numeric=True, signed=True),
            FINISHED,
        ),
        tuple(
            (row.host, row.defect, row.sampling, row.surrogate_minima, row.candidates, row.minima,
             row.reference_only_minima, row.symmetry_broken, row.found, row.difference, row.finished)
            for row in result.funnels
        ),
        tuple(notes),
    )  # fmt: skip


def time_table(result: Acceleration) -> Table:
    """What each search took, against a reference-only search (paper, table S12)."""
    notes = ["Times: wall times of one relaxation after the other."]
    if any(row.estimated for row in result.times):
        notes.append(
            "Where 'estimated' says yes, no reference-only search was run: its calls, its time and both factors are "
            "ESTIMATES, from every sampling structure at the mean number of force calls of a relaxation to convergence "
            "and the mean time of a call."
        )
    if result.calls_saved is not None:
        notes.append(
            f"Saved against the reference-only searches that were run: {100 * result.calls_saved:.0f} % of the "
            "reference force calls, in the mean."
        )
    if not all(row.finished for row in result.times):
        notes.append("Searches that have not finished will take more, so that there is no factor for them.")
    return Table(
        "times",
        "Cost of the search and acceleration",
        (
            HOST,
            DEFECT,
            count("atoms", "atoms"),
            count("reference-only calls", "reference_only_calls"),
            _hours("reference-only time", "reference_only_h"),
            Column("estimated", "estimated"),
            count("calls", "calls"),
            _hours("reference time", "reference_h"),
            _hours("scouting time", "scouting_h"),
            _hours("tuning time", "tuning_h"),
            Column("fewer calls by", "calls_factor", "×", digits=1, numeric=True),
            Column("faster by", "time_factor", "×", digits=1, numeric=True),
            FINISHED,
        ),
        tuple(
            (row.host, row.defect, row.atoms, row.reference_only_calls, row.reference_only_seconds / _HOUR,
             row.estimated, row.calls, row.reference_seconds / _HOUR, row.scouting_seconds / _HOUR,
             row.tuning_seconds / _HOUR, row.calls_factor, row.factor, row.finished)
            for row in result.times
        ),
        tuple(notes),
    )  # fmt: skip


def _hours(name: str, key: str) -> Column:
    return Column(name, key, "h", digits=3, numeric=True)
