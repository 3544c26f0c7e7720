"""`defectscout evaluate`: errors of surrogates on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.core.errors import SettingsError

if TYPE_CHECKING:
    from defectscout.surrogates.settings import SurrogateSettings

DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="File of `defectscout dataset build`.")]
SurrogatesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--surrogate",
        "-s",
        help="Name, or folder of a trained model; may be repeated, to compare. Default: chgnet.",
        show_default=False,
    ),
]
SubsetOption = Annotated[
    str | None,
    typer.Option(
        "--subset",
        metavar="test|validation|train|all",
        help="Which frames. Default: test if the dataset is split, else all.",
        show_default=False,
    ),
]
PatternOption = Annotated[
    list[str] | None,
    typer.Option(
        "--defect", "-d", help="HOST/DEFECT or DEFECT, with * and ?; may be repeated. Default: all.", show_default=False
    ),
]
ChargesOption = Annotated[
    list[str] | None,
    typer.Option("--charge", help="Charge state or range; may be repeated. Default: all.", show_default=False),
]
FolderOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for JSON, CSV and figures. Default: none.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="evaluate")(evaluate_command)


def evaluate_command(
    dataset: DatasetArgument,
    surrogates: SurrogatesOption = None,
    subset: SubsetOption = None,
    defects: PatternOption = None,
    charges: ChargesOption = None,
    output: FolderOption = None,
    figures: Annotated[bool, typer.Option("--figures", help="Also draw figures into the folder.")] = False,
    minima: Annotated[
        bool,
        typer.Option(
            "--minima", help="Also relax the sampling structures, and match the surrogate's minima to the reference's."
        ),
    ] = False,
    suffix: Annotated[str, typer.Option("--format", help="Of the figures: png, svg or pdf.")] = "png",
    resamples: Annotated[int, typer.Option("--resamples", min=0, help="Bootstrap samples; 0: no intervals.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    device: opt.Device = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Measure surrogates on a dataset: errors of energies, forces and stresses, and how they rank each defect."""
    with guarded(verbose):
        import json as json_module

        from rich.console import Console

        from defectscout.cli.progress import reporter
        from defectscout.evaluation.bootstrap import Bootstrap
        from defectscout.reporting.evaluation_tables import evaluation_to_json, evaluation_view, write_evaluation
        from defectscout.reporting.minima_tables import minima_to_json, minima_view, write_minima
        from defectscout.workflow.evaluate import FrameChoice, evaluate_surrogates
        from defectscout.workflow.judge_minima import find_searches, judge_surrogates

        if figures and output is None:
            raise SettingsError("--figures needs a folder for them: give one with -o FOLDER.")
        settings = _settings(surrogates or ["chgnet"], device)
        choice = FrameChoice(subset, tuple(defects or ()), opt.charges(charges or ["all"]) or ())
        with reporter(quiet or json, verbose) as progress:
            searches = find_searches(dataset, choice) if minima else None
            result = evaluate_surrogates(settings, dataset, choice, Bootstrap(resamples, seed=seed), progress)
            verdicts = judge_surrogates(settings, searches, progress=progress) if searches is not None else None
        written: list[Path] = []
        if output is not None:
            written += write_evaluation(result, output)
            written += write_minima(verdicts, output) if verdicts is not None else ()
            if figures:
                from defectscout.reporting.evaluation_figures import draw_evaluation
                from defectscout.reporting.learning_curves import draw_learning_curves, logs_of_models

                ending = f".{suffix.lstrip('.')}"
                written += draw_evaluation(result.evaluations, output, ending)
                if logs := logs_of_models(result.evaluations):
                    written.append(draw_learning_curves(logs, output / f"learning-curves{ending}"))
        if json:
            answer = evaluation_to_json(result) | ({"minima": minima_to_json(verdicts)} if verdicts is not None else {})
            typer.echo(json_module.dumps(answer, indent=1))
            return
        console = Console()
        console.print(evaluation_view(result))
        if verdicts is not None:
            console.print()
            console.print(minima_view(verdicts))
        for path in dict.fromkeys(written):
            typer.echo(f"Wrote {path}")


def _settings(names: list[str], device: str | None) -> list[SurrogateSettings]:
    """Raise SettingsError for a device that does not exist."""
    from pydantic import ValidationError

    from defectscout.surrogates.settings import SurrogateSettings

    try:
        return [SurrogateSettings.model_validate({"name": name, "device": device or "auto"}) for name in names]
    except ValidationError:
        raise SettingsError(f"--device {device}: there are auto, cpu, cuda and mps.") from None
