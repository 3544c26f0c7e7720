"""Reference pages made from the code while mkdocs builds: commands, settings, modules.

Named under `hooks:` in mkdocs.yml. Nothing is written into docs/, so the pages cannot go stale.
"""

from __future__ import annotations

import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

SOURCE = Path(__file__).resolve().parents[1] / "src" / "defectscout"

ROOMS = (
    "core",
    "hosts",
    "defects",
    "sampling",
    "surrogates",
    "references",
    "relaxation",
    "minima",
    "learning",
    "evaluation",
    "workflow",
    "analysis",
    "reporting",
)
"""In the order in which the data passes through them; `cli` has its own page."""

PARTS = ("workflow.learn", "reporting.figures", "reporting.report")
"""Packages inside a room that have a page of their own."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages (called by mkdocs)."""
    pages = {
        "reference/cli.md": command_line(),
        "reference/settings.md": settings(),
        "reference/learning-settings.md": learning_settings(),
    }
    pages |= {f"reference/api/{room}.md": room_page(room) for room in (*ROOMS, *PARTS)}
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def command_line() -> str:
    """Every command with its options, as typer itself documents them."""
    result = subprocess.run(
        [sys.executable, "-m", "typer", "defectscout.cli.main", "utils", "docs", "--name", "defectscout"],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0 or "## `defectscout search`" not in result.stdout:
        raise PluginError(f"The commands could not be documented:\n{result.stdout}{result.stderr}")
    body = result.stdout.replace("# `defectscout`", "# Commands", 1)
    return body + "\nWhat the command leaves with is listed under [exit codes](exit-codes.md).\n"


def settings() -> str:
    """One table for each section of the settings file."""
    from defectscout.workflow.settings import SearchSettings

    lines = [
        "# Settings",
        "",
        "A settings file is TOML with the sections below; `defectscout init` writes one with every setting",
        "and its default. A misspelt name is an error. `defectscout search --config FILE` reads it; options",
        "given on the command line win over the file. Every campaign keeps the settings that it used.",
        "",
    ]
    top = [name for name, field in SearchSettings.model_fields.items() if not _is_model(field.annotation)]
    if top:
        lines += ["## At the top", "", *_table(SearchSettings, top), ""]
    lines += _sections(SearchSettings, "")
    return "\n".join(lines)


def learning_settings() -> str:
    """One table for each of the settings of datasets and training."""
    from defectscout.learning import settings as learning

    lines = [
        "# Settings of learning",
        "",
        "`defectscout train` takes the first from `--set NAME=VALUE`, from a TOML file (`--config FILE`) and from",
        "options, which win; `defectscout dataset build` takes `--set cleaning.NAME=VALUE` and",
        "`--set sampling.NAME=VALUE`. [Compare ways of training](../howto/ablate.md) sets them in its own file.",
        "A misspelt name is an error.",
        "",
    ]
    for title, model in (
        ("Training", learning.TrainSettings),
        ("Cleaning", learning.CleaningSettings),
        ("Frame sampling", learning.FrameSamplingSettings),
        ("Splits", learning.SplitSettings),
    ):
        plain = [name for name, field in model.model_fields.items() if not _is_model(field.annotation)]
        lines += [f"## {title}", "", *_table(model, plain, model()), ""]
        lines += [line.replace("## `[", "### `[") for line in _sections(model, "")]
    return "\n".join(lines)


def _is_model(annotation: Any) -> bool:
    from pydantic import BaseModel

    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _sections(model: Any, prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if not _is_model(field.annotation):
            continue
        section = field.annotation
        yield f"## `[{prefix}{name}]`"
        yield ""
        yield " ".join((section.__doc__ or "").split())
        yield ""
        default = field.default if isinstance(field.default, section) else section()
        yield from _table(
            section,
            [key for key, inner in section.model_fields.items() if not _is_model(inner.annotation)],
            default,
        )
        yield ""
        yield from _sections(section, f"{prefix}{name}.")


def _table(model: Any, names: list[str], instance: Any = None) -> Iterator[str]:
    yield "| setting | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name in names:
        field = model.model_fields[name]
        default = getattr(instance, name) if instance is not None else field.default
        cells = (f"`{name}`", _type(field.annotation), f"`{_toml(default)}`", _meaning(field))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(annotation: Any) -> str:
    if annotation is type(None):
        return "absent"
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(part) for part in arguments)
    if origin is typing.Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"table of {_type(arguments[0])} to {_type(arguments[1])}"
    names = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _toml(value: Any) -> str:
    if value is None:
        return "(absent)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _meaning(field: Any) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        f"{sign} {getattr(bound, key)}"
        for bound in field.metadata
        for key, sign in signs.items()
        if getattr(bound, key, None) is not None
    ]
    text = field.description or ""
    return f"{text} ({' and '.join(limits)})" if limits else text


def room_page(room: str) -> str:
    """The public modules of one room, or of a part of one, each documented by mkdocstrings from its source."""
    folder = SOURCE.joinpath(*room.split("."))
    found = folder.rglob("*.py") if room in PARTS else folder.glob("*.py")
    paths = [path.relative_to(folder).with_suffix("") for path in found]
    modules = sorted(".".join(path.parts) for path in paths if not path.stem.startswith("_"))
    lines = [f"# `defectscout.{room}`", "", f"::: defectscout.{room}", "    options:"]
    lines += ["      members: false", "      show_root_heading: false", ""]
    for module in modules:
        lines += [f"::: defectscout.{room}.{module}", "    options:", "      heading_level: 2", ""]
    return "\n".join(lines)
