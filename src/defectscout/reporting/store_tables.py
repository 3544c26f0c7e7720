"""The store of models as text for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from defectscout.core.defect import charge_text
from defectscout.workflow.nearest import Offer
from defectscout.workflow.store import Damaged, Store, StoredModel

HOW_IT_FILLS = (
    "It fills when a search with --learn ends, and with `defectscout models add MODEL_FOLDER --host CIF` for a model "
    "that `defectscout train` made."
)

WIDEST_NAME = 34
"""Columns of a name that does not wrap."""


def store_view(store: Store) -> RenderableType:
    """All entries, and those that cannot be used with the reason."""
    parts: list[RenderableType] = []
    if store.models:
        parts.append(_models_table(store.models))
    elif not store.damaged:
        return Text(f"The store {store.folder} is empty. {HOW_IT_FILLS}")
    parts += [_damaged_line(entry) for entry in store.damaged]
    return Group(*parts, Text(str(store.folder), style="dim"))


def offers_view(store: Store, formula: str, offers: Sequence[Offer]) -> RenderableType:
    """For a host: the models to start from, nearest first, then the others with the reason why not."""
    if not offers and not store.damaged:
        return store_view(store)
    parts: list[RenderableType] = []
    good = [offer for offer in offers if offer.is_offered]
    if good:
        parts += [Text(f"For {formula}, nearest first:"), _offers_table(good)]
        parts += [Text(f"{good[0].sentence}."), Text(f"Use it with: --surrogate {good[0].model.model}")]
    else:
        parts.append(Text(f"No stored model is near enough to {formula} to start from."))
    parts += [Text(f"{offer.sentence}.", style="dim") for offer in offers if not offer.is_offered]
    parts += [_damaged_line(entry) for entry in store.damaged]
    return Group(*parts)


def model_view(model: StoredModel) -> RenderableType:
    """Everything that is known of one entry."""
    table = Table(box=None, pad_edge=False, show_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = (
        ("name", model.name),
        ("host", model.formula),
        ("defects", ", ".join(model.defects) or "not said"),
        ("charge", charge_text(model.charge)),
        ("reference", model.method),
        ("frames", _frames(model)),
        ("tuned from", f"{model.base or 'scratch'} ({model.family})"),
        ("tuned on", f"{', '.join(model.hosts)} ({', '.join(model.elements)})"),
        ("judgement", model.finding or model.verdict),
        ("stored", model.date),
        ("from", model.campaign),
        ("weights", model.weights),
        ("use with", f"--surrogate {model.model}"),
    )
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def _models_table(models: Sequence[StoredModel]) -> Table:
    table = _table(models, "defects", "charge", "frames", "surrogate", "judgement", "stored")
    for model in models:
        table.add_row(
            Text(model.name), Text(", ".join(model.defects)), charge_text(model.charge), _frames(model),
            model.family, model.verdict, model.date[:10],
        )  # fmt: skip
    return table


def _offers_table(offers: Sequence[Offer]) -> Table:
    table = _table([offer.model for offer in offers], "distance", "structure", "new", "frames", "judgement", "stored")
    for offer in offers:
        model = offer.model
        table.add_row(
            Text(model.name), f"{offer.distance:.2f}",
            "same type" if offer.same_structure else "another", ", ".join(offer.new_elements) or "none",
            _frames(model), model.verdict, model.date[:10],
        )  # fmt: skip
    return table


def _table(models: Sequence[StoredModel], *names: str) -> Table:
    """A column with the names of models, which wrap last where the terminal is narrow, and then others."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="underline", collapse_padding=True)
    table.add_column("name", overflow="fold", min_width=min(WIDEST_NAME, max(len(model.name) for model in models)))
    for name in names:
        if name in ("charge", "frames", "distance"):
            table.add_column(name, justify="right")
        else:
            table.add_column(name, overflow="fold", min_width=10 if name == "stored" else None)
    return table


def _damaged_line(entry: Damaged) -> Text:
    return Text(entry.sentence, style="red")


def _frames(model: StoredModel) -> str:
    return str(model.n_frames) if model.frames is not None else "not kept"
