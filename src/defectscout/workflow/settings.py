"""All settings of a search, and what differs between two of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from defectscout.core.errors import SettingsError
from defectscout.core.settings import Settings, merge_settings, read_toml_file
from defectscout.defects.settings import DefectSettings
from defectscout.hosts.settings import HostSettings, SupercellSettings
from defectscout.minima.settings import MinimaSettings
from defectscout.references.settings import ReferenceSettings
from defectscout.relaxation.settings import PAPER, RelaxationSettings
from defectscout.sampling.settings import SamplingSettings
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.learn.settings import LearnSettings

Preset = Literal["default", "paper"]

Strategy = Literal["auto", "learn", "scout", "reference-only"]

_STRATEGIES = (
    "learn: the surrogate is tuned on the reference's answers and scouts again; scout: it scouts as it is; "
    "reference-only: every sampling structure is relaxed with the reference; auto: learn, where a reference runs and "
    "the surrogate can be tuned, else scout"
)


SCOUTING = RelaxationSettings(force=0.01, max_steps=500)
"""Surrogate steps cost little, and minima that are well relaxed are told apart better: V_Cd in CdTe with CHGNet
ends as one candidate at 0.01 eV/Å (1006 surrogate calls) and as four copies of it at 0.03 eV/Å (780), each of which
would cost a reference relaxation."""


class SearchSettings(Settings):
    """One section for each stage, in the order in which the data passes through them."""

    host: HostSettings = HostSettings()
    supercell: SupercellSettings = SupercellSettings()
    defects: DefectSettings = DefectSettings()
    sampling: SamplingSettings = SamplingSettings()
    surrogate: SurrogateSettings = SurrogateSettings()
    scouting: RelaxationSettings = SCOUTING
    minima: MinimaSettings = MinimaSettings()
    reference: ReferenceSettings = ReferenceSettings()
    refinement: RelaxationSettings = RelaxationSettings()
    learn: LearnSettings = LearnSettings()
    strategy: Strategy = Field("auto", description=_STRATEGIES)


PRESETS: Mapping[Preset, SearchSettings] = {
    "default": SearchSettings(),
    "paper": SearchSettings(
        scouting=PAPER, refinement=RelaxationSettings(criterion="fmax", force=0.01, max_steps=1000)
    ),
}
"""`paper`: the paper's surrogate relaxations, and its 0.01 eV/Å for the reference's (section IV A)."""

DOES_NOT_CHANGE_RESULTS = frozenset(
    {
        "reference.workers",
        "surrogate.device",
        "surrogate.batch_size",
        "host.accept_unstable",
        "learn.max_force_calls",
        "learn.max_hours",
        "learn.max_rounds",
        "learn.keep",
    }
)
"""Settings of speed alone, the leave to go on with an unstable host, and the budget: they may differ on resuming."""

_OF_SCOUTING = frozenset({"surrogate", "scouting"})
"""Sections that mean nothing to a reference-only search."""

_OF_LEARNING = "learn"
"""The section that means nothing to any other strategy."""


def preset(name: str) -> SearchSettings:
    """The settings of a preset.

    Raises:
        SettingsError: if there is no such preset.
    """
    if name not in get_args(Preset):
        raise SettingsError(f"There is no preset '{name}'. Choose one of: {', '.join(PRESETS)}.")
    return PRESETS[name]  # type: ignore[index]


def merge(base: SearchSettings, overrides: Mapping[str, Any], source: str) -> SearchSettings:
    """`base` with nested `overrides`, checked as a whole.

    Args:
        base: settings to start from.
        overrides: section name to a mapping of settings, or `strategy` to its value.
        source: where the overrides come from, for the error message.

    Raises:
        SettingsError: for an unknown name or an impossible value; it says which.
    """
    hint = "`defectscout init` writes a file with every setting, its unit and its default."
    return merge_settings(base, overrides, source, hint)


def read_toml(path: Path, base: SearchSettings) -> SearchSettings:
    """Settings from a TOML file; what it leaves out comes from `base`.

    Raises:
        InputFileError: if the file is missing or not TOML.
        SettingsError: for an unknown name or an impossible value.
    """
    return merge(base, read_toml_file(path, "`defectscout init` writes a valid one."), str(path))


def write_toml(settings: SearchSettings) -> str:
    """The settings as TOML, each with its unit and meaning as a comment above it."""
    lines = ["# Settings of a defectscout search. Energies in eV, lengths in Å, forces in eV/Å.", ""]
    lines += [
        *(f"# {line}" for line in textwrap.wrap(_STRATEGIES, 110)),
        f'strategy = "{settings.strategy}"',
        "",
    ]
    for name in type(settings).model_fields:
        section = getattr(settings, name)
        if isinstance(section, Settings):
            lines += list(_toml_section(name, section))
    return "\n".join(lines).rstrip() + "\n"


def _toml_section(name: str, section: Settings) -> Iterator[str]:
    yield f"[{name}]"
    nested = []
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if isinstance(value, Settings):
            nested.append((f"{name}.{key}", value))
            continue
        if field.description:
            yield f"# {field.description}"
        yield f"{key} = {_toml_value(value)}" if value is not None else f"# {key} ="
    yield ""
    for nested_name, value in nested:
        yield from _toml_section(nested_name, value)


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Path):
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, Settings):
        value = value.model_dump()
    if isinstance(value, Settings):
        return _toml_value(value.model_dump())
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml_value(item)}" for key, item in value.items()) + " }"
    return repr(value)


def flatten(settings: SearchSettings) -> dict[str, object]:
    """Dotted names to values, for comparing and for showing."""

    def walk(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        for key, value in values.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict) and name != "defects.oxidation_states":
                yield from walk(f"{name}.", value)
            else:
                yield name, value

    return dict(walk("", settings.model_dump(mode="json")))


def changed(old: SearchSettings, new: SearchSettings) -> list[str]:
    """Names of the settings whose difference would change results."""
    before, after = flatten(old), flatten(new)
    strategies = {old.strategy, new.strategy}
    idle = set(_OF_SCOUTING) if strategies == {"reference-only"} else set()
    if not strategies & {"learn", "auto"}:
        idle.add(_OF_LEARNING)
        if "scout" not in strategies or {old.refinement.optimiser, new.refinement.optimiser} == {"fire"}:
            idle.add("refinement.corrected")
    return [
        name
        for name in after
        if before.get(name) != after[name]
        and name not in DOES_NOT_CHANGE_RESULTS
        and not name.startswith(("scouting.corrected.", "scouting.optimiser"))  # nothing corrects a surrogate
        and (name != "refinement.optimiser" or "scout" in strategies)
        and not idle.intersection((name.split(".")[0], name.rpartition(".")[0]))
    ]
