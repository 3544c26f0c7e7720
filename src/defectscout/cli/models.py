"""`defectscout models`: the store of surrogates that earlier campaigns tuned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defectscout.cli.dataset_options import as_json
from defectscout.cli.guard import guarded
from defectscout.cli.options import Json, Verbose
from defectscout.core.errors import DatasetError, SettingsError

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from rich.console import RenderableType

    from defectscout.workflow.nearest import Offer
    from defectscout.workflow.store import Damaged, StoredModel

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name as `defectscout models list` shows it.")]

models_app = typer.Typer(
    help="The store of surrogates that earlier searches tuned, to start from for a related host.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True, slots=True)
class OffersFor:
    """What the store offers for a host, for `--json`."""

    host: str
    offers: tuple[Offer, ...]
    damaged: tuple[Damaged, ...]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(models_app, name="models")


@models_app.command(name="list")
def list_command(
    host: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="HOST",
            help="Structure file of a new host: rank the models by how near they are to it.",
            show_default=False,
        ),
    ] = None,
    charge: Annotated[
        int | None,
        typer.Option("--charge", help="With --for: charge state of the defects. Default: 0.", show_default=False),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", "-r", help="With --for: the reference. Default: that of a search.", show_default=False
        ),
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List the models of the store, or those to start from for a new host."""
    with guarded(verbose):
        from defectscout.reporting.store_tables import offers_view, store_view
        from defectscout.workflow.store import read_store

        if host is None:
            if charge is not None or reference is not None:
                raise SettingsError("--charge and --reference belong to --for HOST and would be ignored without it.")
            store = read_store()
            _show(store, store_view(store), json)
            return
        from defectscout.references.settings import ReferenceSettings
        from defectscout.workflow.nearest import nearest

        primitive = _primitive(host)
        store = read_store()
        offers = nearest(store.models, primitive, charge or 0, reference or ReferenceSettings().name)
        formula = str(primitive.composition.reduced_formula)
        _show(OffersFor(formula, offers, store.damaged), offers_view(store, formula, offers), json)


@models_app.command(name="show")
def show_command(name: NameArgument, json: Json = False, verbose: Verbose = False) -> None:
    """Say everything that is known of a stored model."""
    with guarded(verbose):
        from defectscout.reporting.store_tables import model_view
        from defectscout.workflow.store import stored

        model = stored(name)
        _show(model, model_view(model), json)


@models_app.command(name="add")
def add_command(
    folder: Annotated[
        Path, typer.Argument(metavar="MODEL_FOLDER", help="Folder of a model that `defectscout train` wrote.")
    ],
    host: Annotated[
        str, typer.Option("--host", metavar="CIF", help="Structure file of the host that it was trained on.")
    ],
    charge: Annotated[
        int | None,
        typer.Option(
            "--charge", help="Charge state that it was trained on. Default: the only one there is.", show_default=False
        ),
    ] = None,
    defect: Annotated[
        list[str] | None,
        typer.Option(
            "--defect",
            "-d",
            help="Label of a defect that it was trained on, such as v_Cd_0. May be repeated. Default: those of the "
            "frames.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(
            "--frames", metavar="DATASET", help="Dataset that it was trained on, to be learned from again.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Copy a trained model into the store."""
    with guarded(verbose):
        from defectscout.workflow.store import keep

        primitive = _primitive(host)
        state = _charge_of(folder, charge)
        formula = str(primitive.composition.reduced_formula)
        labels = tuple(defect) if defect else _labels(frames, formula, state)
        _show_kept(keep(folder, frames, primitive, labels, state, folder), json)


@models_app.command(name="remove")
def remove_command(name: NameArgument, verbose: Verbose = False) -> None:
    """Take a model out of the store. Campaigns that searched with it cannot be resumed afterwards."""
    with guarded(verbose):
        from defectscout.workflow.store import forget

        forget(name)
        typer.echo(f"Removed {name}.")


def _primitive(host: str) -> Structure:
    from defectscout.hosts.check import check_host
    from defectscout.hosts.read import read_structure
    from defectscout.hosts.settings import HostSettings

    return check_host(read_structure(host), HostSettings(), host)


def _charge_of(folder: Path, charge: int | None) -> int:
    from defectscout.surrogates.model_folder import is_model_folder, read_manifest

    if charge is not None or not is_model_folder(folder):  # the store says what is wrong with the folder
        return charge or 0
    states = read_manifest(folder).trained_on.charges
    if len(states) == 1:
        return states[0]
    named = ", ".join(str(state) for state in states) or "none"
    raise SettingsError(
        f"The model {folder} was trained on these charge states: {named}. Say with --charge for which of them it is to "
        "be offered."
    )


def _labels(frames: Path | None, formula: str, charge: int) -> tuple[str, ...]:
    """Labels of the defects of a host in a dataset."""
    if frames is None:
        return ()
    from defectscout.core.defect import label_of
    from defectscout.learning.dataset import Dataset

    with Dataset.open(frames) as dataset:
        origins = [row.origin for row in dataset.index()]
    found = sorted({o.defect for o in origins if o.host == formula and o.charge == charge and not o.is_bulk})
    if not found:
        hosts = ", ".join(sorted({origin.host for origin in origins})) or "none"
        raise DatasetError(
            f"{frames} holds no defect of {formula} in charge state {charge} (its hosts: {hosts}). Give the dataset "
            "that the model was trained on, or the host of that dataset."
        )
    return tuple(label_of(name, charge) for name in found)


def _show_kept(model: StoredModel, json: bool) -> None:
    if json:
        typer.echo(as_json(model))
    else:
        typer.echo(f"Stored as {model.name}. Use it with: --surrogate {model.model}")


def _show(data: object, view: RenderableType, json: bool) -> None:
    from rich.console import Console

    if json:
        typer.echo(as_json(data))
    else:
        Console().print(view)
