"""The base of every settings model."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from defectscout.core.errors import InputFileError, SettingsError


class Settings(BaseModel):
    """Frozen, and strict about names: a misspelt setting is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


S = TypeVar("S", bound=Settings)


def merge_settings(base: S, overrides: Mapping[str, Any], source: str, hint: str = "") -> S:
    """`base` with nested `overrides`, checked as a whole.

    Args:
        base: settings to start from.
        overrides: names to values, or of a section to such a mapping.
        source: where the overrides come from, for the error message.
        hint: where all settings are listed, a sentence for the error message.

    Raises:
        SettingsError: for an unknown name or an impossible value; it says which.
    """
    return validated(type(base), _merged(base.model_dump(), overrides), source, hint)


def validated(kind: type[S], values: Mapping[str, Any], source: str, hint: str = "") -> S:
    """Settings of a kind from plain values.

    Args:
        kind: which settings.
        values: names to values.
        source: where the values come from, for the error message.
        hint: where all settings are listed, a sentence for the error message.

    Raises:
        SettingsError: for an unknown name or an impossible value; it says which.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(kind, error, source, hint)) from None


def read_toml_file(path: Path, hint: str = "") -> dict[str, Any]:
    """The contents of a TOML file with settings.

    Args:
        path: the file.
        hint: a sentence for the error message.

    Raises:
        InputFileError: if the file is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(f"Cannot read the settings file {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputFileError(f"The settings file {path} is not valid TOML: {error}. {hint}".rstrip()) from None


def _merged(base: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def _names(kind: type[Settings], section: str = "") -> list[str]:
    """Names of all settings and sections, dotted."""
    names = []
    for name, field in kind.model_fields.items():
        names.append(f"{section}{name}")
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            names += _names(field.annotation, f"{section}{name}.")
    return names


def _explain(kind: type[Settings], error: ValidationError, source: str, hint: str) -> str:
    parts = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "settings"
        if problem["type"] == "extra_forbidden":
            closest = difflib.get_close_matches(where, _names(kind), n=1, cutoff=0.75)
            guess = f" (did you mean '{closest[0]}'?)" if closest else ""
            parts.append(f"'{where}' is not a setting{guess}")
        else:
            parts.append(f"{where} = {problem.get('input')!r}: {problem['msg'].removeprefix('Value error, ')}")
    return f"Bad settings in {source}: {'; '.join(parts)}. {hint}".rstrip()
