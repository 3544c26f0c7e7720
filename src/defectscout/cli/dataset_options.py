"""Options of `defectscout dataset`, and turning them into settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from defectscout.cli.options import assignments
from defectscout.core.errors import SettingsError

if TYPE_CHECKING:
    from defectscout.core.settings import Settings
    from defectscout.learning.settings import CleaningSettings, FrameSamplingSettings, SplitSettings
    from defectscout.surrogates.settings import SurrogateSettings

    S = TypeVar("S", bound=Settings)

Host = Annotated[
    str | None, typer.Option("--host", help="Formula of the host, where a source does not say.", show_default=False)
]
Defect = Annotated[
    str | None,
    typer.Option(
        "--defect", "-d", help="Name of the defect, or bulk, where a source does not say.", show_default=False
    ),
]
Charge = Annotated[
    int | None, typer.Option("--charge", help="Charge state, where a source does not say.", show_default=False)
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method", help="Name of what gave the energies, such as HSE06; holds for every source.", show_default=False
    ),
]
Sampling = Annotated[
    str | None,
    typer.Option(
        "--sampling",
        metavar="MS|DIRECT|all",
        help="MS: evenly spaced frames of each relaxation; DIRECT: frames that cover the space of their features. "
        "Default: MS.",
        show_default=False,
    ),
]
FramesPerRelaxation = Annotated[
    int | None,
    typer.Option("--frames-per-relaxation", help="Frames of each relaxation with MS. Default: 10.", show_default=False),
]
BulkFrames = Annotated[
    int | None, typer.Option("--bulk-frames", help="Frames of each pristine host. Default: 10.", show_default=False)
]
Direct = Annotated[
    str | None,
    typer.Option(
        "--direct",
        metavar="T,N,K",
        help="BIRCH's threshold, number of clusters, frames of each; takes --sampling DIRECT. Default: 0.02,4000,20.",
        show_default=False,
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="soap|SURROGATE",
        help="What DIRECT tells frames apart by: soap, or chgnet, m3gnet:NAME, tensornet:NAME. Default: soap.",
        show_default=False,
    ),
]
MaxEnergy = Annotated[
    str | None,
    typer.Option(
        "--max-energy",
        metavar="EV|none",
        help="Take out frames that are more than this above the lowest of their defect. Default: 15.",
        show_default=False,
    ),
]
MaxForce = Annotated[
    str | None,
    typer.Option(
        "--max-force",
        metavar="EV/Å|none",
        help="Take out frames with a larger force on an atom. Default: 50.",
        show_default=False,
    ),
]
Duplicates = Annotated[
    str | None,
    typer.Option(
        "--duplicates",
        metavar="EV,Å",
        help="Two frames of a defect are one within this energy and displacement. Default: 1e-5,1e-3.",
        show_default=False,
    ),
]
KeepUnconverged = Annotated[
    bool, typer.Option("--keep-unconverged", help="Keep ionic steps whose electronic structure did not converge.")
]
KeepPositive = Annotated[bool, typer.Option("--keep-positive", help="Keep frames with positive energies.")]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any setting, as in --set cleaning.duplicate_energy=1e-4. May be repeated.",
        show_default=False,
    ),
]
CheckWith = Annotated[
    str | None,
    typer.Option(
        "--check-with",
        metavar="REFERENCE",
        help="Recompute some frames with this reference, such as gfn1-xtb, and say whether the labels are its.",
        show_default=False,
    ),
]
CheckFrames = Annotated[int, typer.Option("--check-frames", min=1, help="How many frames --check-with recomputes.")]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="composition|defect|relaxation|host-list|random",
        help="What stays together. Default: what suits the number of hosts and defects.",
        show_default=False,
    ),
]
Shares = Annotated[
    str | None,
    typer.Option(
        "--shares",
        metavar="TRAIN/VALIDATION/TEST",
        help="Shares in per cent, with --by. Default: 68/5/27.",
        show_default=False,
    ),
]
Test = Annotated[
    list[str] | None,
    typer.Option(
        "--test",
        metavar="HOST[/DEFECT][,...]",
        help="Hosts or defects to test on. May be repeated.",
        show_default=False,
    ),
]
Validation = Annotated[
    list[str] | None,
    typer.Option(
        "--validation",
        metavar="HOST[/DEFECT][,...]",
        help="Hosts or defects to validate on. May be repeated.",
        show_default=False,
    ),
]
Augment = Annotated[
    float | None,
    typer.Option(
        "--augment",
        metavar="PERCENT",
        help="Share of the training frames that validation gets too. Default: 5.",
        show_default=False,
    ),
]


Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the random choices. Default: 0.", show_default=False)]


@dataclass(frozen=True, slots=True)
class BuildChoices:
    """Options of `dataset build` that become settings, as given."""

    sampling: str | None
    frames_per_relaxation: int | None
    bulk_frames: int | None
    direct: str | None
    features: str | None
    max_energy: str | None
    max_force: str | None
    duplicates: str | None
    keep_unconverged: bool
    keep_positive: bool
    assignments: list[str] | None


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Settings of a build."""

    cleaning: CleaningSettings
    sampling: FrameSamplingSettings
    surrogate: SurrogateSettings


@dataclass(frozen=True, slots=True)
class SplitChoices:
    """Options of `dataset split`, as given."""

    by: str | None
    shares: str | None
    test: list[str] | None
    validation: list[str] | None
    augment: float | None
    seed: int | None


def build_settings(choices: BuildChoices) -> BuildSettings:
    """Defaults, then options, then `--set`.

    Raises:
        SettingsError: for an unknown name, an impossible value, or options that do not go together.
    """
    from defectscout.learning.settings import CleaningSettings, FrameSamplingSettings
    from defectscout.surrogates.settings import SurrogateSettings

    given: dict[str, dict[str, Any]] = {
        "cleaning": _cleaning(choices),
        "sampling": _sampling(choices),
        "surrogate": {} if choices.features in (None, "soap") else {"name": choices.features},
    }
    for section, values in assignments(choices.assignments or []).items():
        if section not in given or not isinstance(values, dict):
            raise SettingsError(f"--set {section}: expected cleaning.NAME, sampling.NAME or surrogate.NAME.")
        given[section] |= values
    return BuildSettings(
        _validated(CleaningSettings, given["cleaning"]),
        _validated(FrameSamplingSettings, given["sampling"]),
        _validated(SurrogateSettings, given["surrogate"]),
    )


def split_settings(choices: SplitChoices) -> SplitSettings | None:
    """Settings of a split; None where no option was given.

    Raises:
        SettingsError: for an impossible value, or options that do not go together.
    """
    from defectscout.learning.settings import SplitSettings

    given: dict[str, Any] = {}
    listed = {"test_hosts": _listed(choices.test), "validation_hosts": _listed(choices.validation)}
    given |= {name: hosts for name, hosts in listed.items() if hosts}
    by = choices.by or ("host-list" if given else None)
    if given and by != "host-list":
        raise SettingsError(f"--by {by} does not take --test and --validation, which list hosts: use --by host-list.")
    if by is not None:
        given["by"] = by
    if choices.shares is not None:
        if by == "host-list":
            raise SettingsError("--shares does not go with a list of hosts, which sets the shares.")
        given |= _shares(choices.shares)
    if choices.augment is not None:
        given["augment_validation"] = choices.augment / 100
    if choices.seed is not None:
        given["seed"] = choices.seed
    return _validated(SplitSettings, given) if given else None


def as_json(data: object) -> str:
    """Dataclasses, settings and paths, nested in any way, as JSON."""
    return json.dumps(_plain(data), indent=1)


def _plain(data: object) -> object:
    if hasattr(data, "model_dump"):
        return data.model_dump(mode="json")
    if is_dataclass(data) and not isinstance(data, type):
        return {name: _plain(getattr(data, name)) for name in data.__dataclass_fields__}
    if isinstance(data, (tuple, list)):
        return [_plain(item) for item in data]
    return str(data) if isinstance(data, Path) else data


def _cleaning(choices: BuildChoices) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if choices.max_energy is not None:
        given["max_energy_above_ground_state"] = _number_or_none("--max-energy", choices.max_energy)
    if choices.max_force is not None:
        given["max_force"] = _number_or_none("--max-force", choices.max_force)
    if choices.duplicates is not None:
        energy, displacement = _numbers("--duplicates", choices.duplicates, 2, "1e-5,1e-3")
        given |= {"duplicate_energy": energy, "duplicate_displacement": displacement}
    if choices.keep_unconverged:
        given["unconverged_scf"] = False
    if choices.keep_positive:
        given["positive_energies"] = False
    return given


def _sampling(choices: BuildChoices) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for_direct = choices.direct is not None or choices.features is not None
    method = choices.sampling or ("DIRECT" if for_direct else None)
    if for_direct and method != "DIRECT":
        raise SettingsError(f"--direct and --features belong to DIRECT and would be ignored by --sampling {method}.")
    if choices.frames_per_relaxation is not None and method not in (None, "MS"):
        raise SettingsError(f"--frames-per-relaxation belongs to MS and would be ignored by --sampling {method}.")
    if method is not None:
        given["method"] = method
    if choices.frames_per_relaxation is not None:
        given["frames_per_relaxation"] = choices.frames_per_relaxation
    if choices.bulk_frames is not None:
        given["bulk_frames"] = choices.bulk_frames
    if choices.direct is not None:
        threshold, clusters, per_cluster = _numbers("--direct", choices.direct, 3, "0.02,4000,20")
        given |= {"direct_threshold": threshold, "direct_clusters": clusters, "direct_per_cluster": per_cluster}
    if choices.features is not None:
        given["direct_features"] = "soap" if choices.features == "soap" else "surrogate"
    return given


def _shares(text: str) -> dict[str, float]:
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    if len(parts) != 3 or abs(sum(parts) - 100) > 1e-6:
        raise SettingsError(f"--shares {text}: expected three shares in per cent that add up to 100, such as 68/5/27.")
    return {name: part / 100 for name, part in zip(("train", "validation", "test"), parts, strict=True)}


def _listed(values: list[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for value in values or [] for part in value.split(",") if part.strip())


def _number_or_none(option: str, text: str) -> float | None:
    return None if text.lower() == "none" else _numbers(option, text, 1, "15 or none")[0]


def _numbers(option: str, text: str, count: int, example: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != count:
        raise SettingsError(f"{option} {text}: expected {example}.")
    return found


def _validated(kind: type[S], values: Mapping[str, Any]) -> S:
    from pydantic import ValidationError

    try:
        return kind(**values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])} = {problem.get('input')!r}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsError(f"Bad settings: {problems}. The options' help says what they take.") from None
