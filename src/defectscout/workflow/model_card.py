"""The model card: what a trained surrogate is, what it has seen, and how far it errs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from defectscout.core.defect import charge_text
from defectscout.evaluation.bootstrap import Interval
from defectscout.evaluation.metrics import ErrorTable
from defectscout.learning.fit import Fit
from defectscout.surrogates.model_folder import Manifest


def model_card(manifest: Manifest, fits: Sequence[Fit], errors: Mapping[str, ErrorTable], notes: Sequence[str]) -> str:
    """The card as Markdown."""
    seen = manifest.trained_on
    start = f"fine-tuned from `{manifest.base}`" if manifest.base else "trained from scratch"
    lines = [
        f"# Surrogate: {manifest.family}, {start}",
        "",
        f"**{seen.verdict.capitalize()}.** {seen.finding}",
        "",
        "## What it has seen",
        "",
        f"- Hosts: {', '.join(seen.hosts)}",
        f"- Elements: {', '.join(seen.elements)}",
        f"- Charge states: {_charges(seen.charges)}" + (", given to the network" if manifest.charge_as_input else ""),
        f"- Reference: {seen.method}",
        f"- Training frames: {manifest.dataset}",
        "",
        "It is meant for finding candidate structures of defects in these hosts and their alloys. Its energies rank "
        "nothing for good: candidates go to the reference.",
        "",
        "## Errors",
        "",
        "| subset | frames | defects | E / meV/atom | E relative / eV | below 5 eV / eV | F / meV/Å | S / GPa | ρ |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(name, table) for name, table in errors.items()),
        "",
        "Mean absolute errors on frames of defects; E relative: above the ground state of each defect; ρ: Spearman's "
        "rank correlation of each defect's energies, averaged.",
        "",
        "## Training",
        "",
        *(f"- {training_sentence(number, fit)}" for number, fit in enumerate(fits)),
        "",
        *(f"- {note}" for note in notes),
        "",
        "Settings that differ from the defaults, and all others, are in `defectscout-model.json`. Packages: "
        + ", ".join(f"{name} {version}" for name, version in manifest.packages.items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def _charges(charges: Sequence[int]) -> str:
    return ", ".join(map(charge_text, charges)) or "none (pristine hosts only)"


def training_sentence(number: int, fit: Fit) -> str:
    """How the training of a member went."""
    kept = fit.kept
    mixed = f", mixed with {fit.share_of_start:.0%} of the starting weights" if fit.share_of_start else ""
    return (
        f"Member {number}: {fit.history[-1].epoch} epochs, kept epoch {kept.epoch}{mixed}; validation loss "
        f"{fit.history[0].val_loss:.4g} before, {kept.val_loss:.4g} kept; "
        f"{sum(epoch.seconds for epoch in fit.history):.0f} s."
    )


def _row(name: str, table: ErrorTable) -> str:
    m = table.overall
    cells = [
        name, str(m.n_frames), str(m.n_defects), number_text(m.energy.mae, 1), number_text(m.relative.mae, 3),
        number_text(m.low.mae, 3), number_text(m.force.mae, 0), number_text(m.stress.mae, 2),
        number_text(m.spearman, 2),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def number_text(interval: Interval, digits: int) -> str:
    """The value, or a dash where it is not determined."""
    return "–" if not math.isfinite(interval.value) else f"{interval.value:.{digits}f}"
