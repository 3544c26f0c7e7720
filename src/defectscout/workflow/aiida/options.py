"""How jobs ask a queue for resources: AiiDA's options of a job, from a TOML file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from defectscout.core.errors import SettingsError
from defectscout.core.settings import read_toml_file

RESOURCES: Final = (
    "num_machines",
    "num_mpiprocs_per_machine",
    "num_cores_per_machine",
    "num_cores_per_mpiproc",
    "tot_num_mpiprocs",
    "parallel_env",
)
"""What AiiDA wants in `resources`; written beside the others, or in a table of that name."""

OPTIONS: Final[Mapping[str, type | tuple[type, ...]]] = MappingProxyType(
    {
        "max_wallclock_seconds": int,
        "max_memory_kb": int,
        "queue_name": str,
        "account": str,
        "qos": str,
        "priority": str,
        "custom_scheduler_commands": str,
        "prepend_text": str,
        "append_text": str,
        "withmpi": bool,
        "mpirun_extra_params": list,
        "import_sys_environment": bool,
        "environment_variables": dict,
        "environment_variables_double_quotes": bool,
        "rerunnable": bool,
    }
)
"""The others, with their kinds."""

_STRINGS: Final = ("parallel_env",)


def default_options() -> dict[str, Any]:
    """One process on one machine."""
    return {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}


def read_options(path: Path) -> dict[str, Any]:
    """Options of a job from a TOML file, as AiiDA takes them.

    Args:
        path: such as

            num_machines = 2
            num_mpiprocs_per_machine = 64
            max_wallclock_seconds = 86400
            queue_name = "standard"

    Raises:
        InputFileError: the file is missing or is not TOML.
        SettingsError: a name is unknown, or a value of another kind.
    """
    return options_from(read_toml_file(path), str(path))


def options_from(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The same from plain values; `source` says where they come from.

    Raises:
        SettingsError: a name is unknown, or a value of another kind.
    """
    flat = dict(values)
    nested = flat.pop("resources", {})
    if not isinstance(nested, Mapping):
        raise SettingsError(f"resources in {source} is no table: write num_machines = 1 and the like.")
    resources, options = dict(nested), {}
    for name in nested:
        _check_known(name, RESOURCES, source)
    for name, value in flat.items():
        if name in RESOURCES:
            resources[name] = value
            continue
        _check_known(name, (*OPTIONS, *RESOURCES), source)
        _check_kind(name, value, OPTIONS[name], source)
        options[name] = value
    for name, value in resources.items():
        _check_kind(name, value, str if name in _STRINGS else int, source)
    return {**options, "resources": resources or default_options()["resources"]}


def _check_known(name: str, known: tuple[str, ...], source: str) -> None:
    if name in known:
        return
    closest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean '{closest[0]}'?" if closest else ""
    raise SettingsError(f"'{name}' in {source} is not an option of a job.{hint} There are: {', '.join(known)}.")


def _check_kind(name: str, value: object, kind: type | tuple[type, ...], source: str) -> None:
    right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if kind is int and right and isinstance(value, int) and value < 1:
        right = False
    if not right:
        word = {int: "a positive integer", str: "a text", bool: "true or false", list: "a list", dict: "a table"}
        expected = word[kind] if isinstance(kind, type) else "another value"
        raise SettingsError(f"{name} = {value!r} in {source}: it has to be {expected}.")
