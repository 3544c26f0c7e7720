"""Which minima of the reference surrogates have: the paper's table II for the terminal, as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from defectscout.evaluation.surrogate_minima import MatchedMinimum, MinimaVerdict
from defectscout.reporting.evaluation_tables import plain_table, short_names, write_text
from defectscout.workflow.judge_minima import MinimaResult

_COLUMNS = ("starts", "ref.\nminima", "sur.\nminima", "found", "symm.\nbroken", "GS\nfound", "GS\nrank", "far\n/ Å",
            "RMSD\n/ Å", "MAE\n/ eV")  # fmt: skip
_CAPTION = (
    "minima of the reference and of the surrogate; GS: the reference's ground state; far, RMSD: of atoms near the "
    "site in the surrogate's minimum that matches it; MAE: relative energies of matched minima"
)


def minima_view(result: MinimaResult) -> RenderableType:
    """One table for each surrogate, and what could not be judged."""
    parts: list[RenderableType] = []
    for name, verdicts in short_names(result.verdicts).items():
        parts += [_table(name, verdicts), Text(_summary(verdicts)), Text("")]
        parts += [
            Text(f"{verdict.label}, {item.label}: {item.reason}", style="dim")
            for verdict in verdicts
            for item in verdict.flagged
        ]
    first = next(iter(result.verdicts.values()), ())
    notes = [(f"{verdict.label}, {item.label}", item.reason) for verdict in first for item in verdict.left_out]
    notes += [(item.label, item.reason) for item in result.skipped]
    if notes:
        parts.append(Text("Not judged:"))
        parts += [Text(f"  {label}: {reason}", style="dim") for label, reason in notes]
    return Group(*parts)


def minima_to_json(result: MinimaResult) -> dict[str, Any]:
    """Everything, for `json.dumps`; what is not determined is null."""
    return {
        "surrogates": [
            {"name": name, "defects": [_verdict(verdict) for verdict in verdicts]}
            for name, verdicts in result.verdicts.items()
        ],
        "skipped": [{"defect": item.label, "reason": item.reason} for item in result.skipped],
    }


def write_minima(result: MinimaResult, folder: Path) -> tuple[Path, ...]:
    """Write `minima.json` and `minima.csv`, one line for each surrogate and defect.

    Raises:
        SettingsError: where nothing can be written.
    """
    buffer = io.StringIO()
    lines = [
        {"surrogate": name, **{key: value for key, value in _verdict(verdict).items() if not isinstance(value, list)}}
        for name, verdicts in result.verdicts.items()
        for verdict in verdicts
    ]
    writer = csv.DictWriter(buffer, list(lines[0]) if lines else ["surrogate"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return (
        write_text(folder / "minima.json", json.dumps(minima_to_json(result), indent=1) + "\n"),
        write_text(folder / "minima.csv", buffer.getvalue()),
    )


def _table(name: str, verdicts: tuple[MinimaVerdict, ...]) -> Table:
    table = plain_table(f"minima of {name}")
    table.add_column("", overflow="fold", min_width=12)
    for column in _COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    table.caption = _CAPTION
    table.caption_justify = "left"
    for verdict in verdicts:
        ground = verdict.matches[0].deviation if verdict.matches else None
        table.add_row(
            verdict.label,
            str(verdict.n_starts),
            str(verdict.n_reference_minima),
            str(verdict.n_candidates),
            f"{verdict.n_found}/{verdict.n_reference_minima}",
            _yes_no(verdict.symmetry_broken),
            _yes_no(verdict.ground_state_found),
            str(verdict.ground_state_rank or "–"),
            "–" if ground is None else f"{ground.largest:.2f}",
            "–" if ground is None else f"{ground.rmsd:.2f}",
            "–" if math.isnan(verdict.energy_mae) else f"{verdict.energy_mae:.2f}",
        )
    return table


def _summary(verdicts: tuple[MinimaVerdict, ...]) -> str:
    judged = [verdict for verdict in verdicts if verdict.ground_state_found is not None]
    found = sum(bool(verdict.ground_state_found) for verdict in judged)
    starts, candidates = sum(v.n_starts for v in verdicts), sum(v.n_candidates for v in verdicts)
    return (
        f"Ground states identified: {found} of {len(judged)}. {candidates} candidates of {starts} sampling structures "
        f"would go to the reference."
    )


def _verdict(verdict: MinimaVerdict) -> dict[str, Any]:
    ground = verdict.matches[0].deviation if verdict.matches else None
    return {
        "host": verdict.defect_id.host,
        "defect": verdict.defect_id.defect,
        "charge": verdict.defect_id.charge,
        "method": verdict.defect_id.method,
        "label": verdict.label,
        "sampling_structures": verdict.n_starts,
        "reference_minima": verdict.n_reference_minima,
        "surrogate_minima": verdict.n_candidates,
        "reference_minima_found": verdict.n_found,
        "symmetry_broken": verdict.symmetry_broken,
        "ground_state_identified": verdict.ground_state_found,
        "ground_state_rank": verdict.ground_state_rank,
        "ground_state_farthest_atom_A": None if ground is None else ground.largest,
        "ground_state_site_rmsd_A": None if ground is None else ground.rmsd,
        "unperturbed_symmetry": verdict.unperturbed_symmetry,
        "reference_symmetry": verdict.reference_symmetry,
        "surrogate_symmetry": verdict.surrogate_symmetry,
        "matched_energies_mae_eV": _number(verdict.energy_mae),
        "matched_energies_spearman": _number(verdict.spearman),
        "share_of_starts_saved": _number(verdict.share_saved),
        "surrogate_force_calls": verdict.force_calls,
        "reference_frames": verdict.reference_calls,
        "minima": [_match(match) for match in verdict.matches],
        "flagged": [{"start": item.label, "reason": item.reason} for item in verdict.flagged],
        "left_out": [{"start": item.label, "reason": item.reason} for item in verdict.left_out],
    }


def _match(match: MatchedMinimum) -> dict[str, Any]:
    return {
        "energy_above_ground_state_eV": match.relative_energy,
        "new_bonds": [str(bond) for bond in match.reference.new_bonds],
        "found": match.surrogate is not None,
        "rank": match.rank,
        "distance": _number(match.distance),
        "farthest_atom_A": None if match.deviation is None else match.deviation.largest,
        "site_rmsd_A": None if match.deviation is None else match.deviation.rmsd,
    }


def _yes_no(value: bool | None) -> str:
    return "?" if value is None else "yes" if value else "no"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
