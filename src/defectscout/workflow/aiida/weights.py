"""Weights of a surrogate that lie on this machine: what goes with a campaign to another one, and its name there."""

from __future__ import annotations

from pathlib import Path

FOLDER = "surrogate"
"""Where they lie beside the campaign's folder on the computer that scouts."""


def weights_of(name: str) -> Path | None:
    """File or folder that has to go along with a campaign whose surrogate is called `name`; None if there is none.

    Args:
        name: as a campaign records it: the path of a model folder, `family:FILE`, `family:FOLDER` or
            `ase:FILE:callable`. `chgnet`, `m3gnet:NAME` and `ase:module:callable` are found wherever installed.
    """
    _, place, _ = _parts(name)
    path = Path(place).expanduser()
    return path if place and path.exists() else None


def name_there(name: str) -> str:
    """Name of the same surrogate where its file or folder lies in `FOLDER`."""
    family, place, attribute = _parts(name)
    there = f"{FOLDER}/{Path(place).name}"
    if not family:
        return f"./{there}"  # the path of a folder has to look like one
    return ":".join(part for part in (family, there, attribute) if part)


def _parts(name: str) -> tuple[str, str, str]:
    """Family, path and callable in the name of a surrogate; empty where there is none."""
    if name.startswith((".", "~", "/")):
        return "", name, ""
    family, _, rest = name.partition(":")
    if family != "ase":
        return family, rest, ""
    place, _, attribute = rest.rpartition(":")
    return (family, place, attribute) if place.endswith(".py") else (family, "", attribute)
