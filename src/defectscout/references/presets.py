"""Settings of a program by the name of a preset, or from a file of the user's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from defectscout.core.errors import SettingsError
from defectscout.core.settings import Settings, merge_settings, read_toml_file

Chosen = TypeVar("Chosen", bound=Settings)


def chosen_settings(program: str, presets: Mapping[str, tuple[str, Chosen]], choice: str) -> Chosen:
    """Settings by the name of a preset or from a TOML file.

    Args:
        program: such as `CP2K`, for messages.
        presets: one line on each, and its settings; the first is the default.
        choice: a preset's name, the path of a file that ends with `.toml`, or empty for the default. A file says with
            `preset` what it starts from, and then what is different.

    Raises:
        SettingsError: there is no such preset, or the file has a bad setting.
        InputFileError: the file is missing or is not TOML.
    """
    default, (_, any_settings) = next(iter(presets.items()))
    if not choice.endswith(".toml"):
        return _preset(program, presets, choice or default)
    path = Path(choice).expanduser()
    hint = (
        f"The settings of {program} are {', '.join(sorted(type(any_settings).model_fields))}, and preset to start from "
        f"one of {', '.join(presets)}."
    )
    values = read_toml_file(path, hint)
    base = _preset(program, presets, str(values.pop("preset", default)))
    return merge_settings(base, values, str(path), hint)


def fingerprint(content: object) -> str:
    """Eight hexadecimal digits that tell plain data from other data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _preset(program: str, presets: Mapping[str, tuple[str, Chosen]], name: str) -> Chosen:
    found = presets.get(name)
    if found is None:
        raise SettingsError(
            f"{program} has no preset '{name}'. There are: {', '.join(presets)}. Settings of your own go into a file "
            "that ends with .toml."
        )
    return found[1]
