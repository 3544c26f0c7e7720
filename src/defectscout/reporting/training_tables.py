"""What a training gave, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from defectscout.evaluation.metrics import ErrorTable
from defectscout.workflow.ablation import AblationRow
from defectscout.workflow.model_card import number_text, training_sentence
from defectscout.workflow.training import Trained

_STYLE = {"better": "green", "mixed": "yellow", "worse": "red", "not judged": "yellow"}


def trained_view(trained: Trained) -> RenderableType:
    """Verdict, errors and how training went."""
    seen = trained.manifest.trained_on
    parts: list[RenderableType] = [
        Text(f"Surrogate in {trained.folder}", style="bold"),
        Text(f"Trained on {', '.join(seen.hosts)} ({seen.method})"),
        _errors(trained.errors),
        *(Text(training_sentence(number, fit)) for number, fit in enumerate(trained.fits)),
        Text(seen.finding, style=_STYLE[seen.verdict]),
        *(Text(note) for note in trained.notes),
        Text(f"Use it with: defectscout search HOST --surrogate {trained.folder}"),
    ]
    return Group(*parts)


def _errors(errors: Mapping[str, ErrorTable]) -> Table:
    table = Table(title="Errors on frames of defects", title_justify="left", box=None, pad_edge=False)
    for name in ("subset", "frames", "E meV/atom", "E rel. eV", "F meV/Å", "S GPa", "ρ"):
        table.add_column(name, justify="left" if name == "subset" else "right")
    for name, item in errors.items():
        m = item.overall
        table.add_row(
            name, str(m.n_frames), number_text(m.energy.mae, 1), number_text(m.relative.mae, 3),
            number_text(m.force.mae, 0), number_text(m.stress.mae, 2), number_text(m.spearman, 2),
        )  # fmt: skip
    return table


def ablation_view(rows: Sequence[AblationRow]) -> RenderableType:
    """A table for each comparison, in the order of the validation loss (paper, tables S2 to S10)."""
    parts: list[RenderableType] = []
    for name in dict.fromkeys(row.table for row in rows):
        table = Table(title=f"Table {name}" if name else "Trainings", title_justify="left", box=None, pad_edge=False)
        for column in ("training", "frames", "loss", "E val", "F val", "S val", "E train", "F train", "ρ val", "epoch"):
            table.add_column(column, justify="left" if column == "training" else "right")
        chosen = [row for row in rows if row.table == name]
        for row in chosen:
            if not row.failure:
                table.add_row(
                    row.name, str(row.frames), f"{row.loss:.3f}", f"{row.val_energy:.1f}", f"{row.val_force:.0f}",
                    f"{row.val_stress:.2f}", f"{row.train_energy:.1f}", f"{row.train_force:.0f}",
                    f"{row.val_spearman:.2f}", f"{row.epoch}/{row.epochs}",
                )  # fmt: skip
        parts.append(table)
        parts += [Text(f"{row.name}: {row.failure}", style="red") for row in chosen if row.failure]
    parts.append(Text("E in meV/atom, F in meV/Å, S in GPa; loss: E (eV/atom) + F (eV/Å) + 0.1 S, of validation."))
    return Group(*parts)
