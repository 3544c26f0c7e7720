"""The base of every settings model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from defectscout.core.errors import SettingsError


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
    try:
        return type(base).model_validate(_merged(base.model_dump(), overrides))
    except ValidationError as error:
        raise SettingsError(_explain(error, source, hint)) from None


def _merged(base: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def _explain(error: ValidationError, source: str, hint: str) -> str:
    parts = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "settings"
        if problem["type"] == "extra_forbidden":
            parts.append(f"'{where}' is not a setting")
        else:
            parts.append(f"{where} = {problem.get('input')!r}: {problem['msg'].removeprefix('Value error, ')}")
    return f"Bad settings in {source}: {'; '.join(parts)}. {hint}".rstrip()
