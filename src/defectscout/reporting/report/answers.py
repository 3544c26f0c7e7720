"""What stands at the top of a report, as a table, for the formats without a layout of their own."""

from __future__ import annotations

from collections.abc import Sequence

from defectscout.reporting.report.document import Answer
from defectscout.reporting.table import Column, Table


def answers_table(answers: Sequence[Answer]) -> Table:
    """One row for each defect."""
    return Table(
        "answers",
        "The answer",
        (
            Column("host", "host"),
            Column("defect", "defect"),
            Column("answer", "answer"),
            Column("how sure", "confidence"),
            Column("search", "status"),
            Column("energy lowering", "lowering_eV", "eV", digits=2, numeric=True, signed=True),
            Column("reference force calls", "reference_force_calls", digits=0, numeric=True),
            Column("saved", "saved_percent", "%", digits=0, numeric=True),
        ),
        tuple(
            (item.host, item.defect, item.sentence, item.level, item.status, item.lowering, item.calls,
             None if item.saved is None else 100 * item.saved)
            for item in answers
        ),
        ("Saved: share of the force calls of a reference-only search of the same defect, where one has ended.",)
        if any(item.saved is not None for item in answers)
        else (),
    )  # fmt: skip
