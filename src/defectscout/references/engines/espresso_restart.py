"""What makes a run of pw.x go on: its input changed in few places, and the files of the run before out of the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.references.engines.earlier_runs import move_aside, outputs_in
from defectscout.references.espresso_input import PREFIX, Value, fortran, numbers

Values = Mapping[tuple[str, str], Value]
"""Namelist and name of each value."""


def value_in(text: str, name: str) -> str:
    """A value in an input, as it stands there; empty where it is not named."""
    found = re.search(rf"^[^!\n]*\b{name} *= *([^,!\n]+)", text, re.MULTILINE | re.IGNORECASE)
    return found[1].strip() if found is not None else ""


def with_values(text: str, values: Values) -> str:
    """An input with values changed or added.

    Raises:
        CalculationError: a namelist is missing.
    """
    for (namelist, name), value in values.items():
        bare = without(text, (name,))
        text, count = re.subn(
            rf"^( *&{namelist}\b.*)\n",
            rf"\g<1>\n  {name} = {fortran(value)}\n",
            bare,
            count=1,
            flags=re.MULTILINE | re.IGNORECASE,
        )
        if not count:
            raise CalculationError(f"The input of pw.x has no &{namelist}, which {name} belongs into. Add it by hand.")
    return text


def without(text: str, names: tuple[str, ...]) -> str:
    """An input that leaves values to pw.x."""
    for name in names:
        text = re.sub(rf"^ *{name} *=[^,!\n]*,? *(?:\n|(?=[!A-Za-z]))", "", text, flags=re.MULTILINE | re.IGNORECASE)
        text = re.sub(rf"^([^!\n]*,) *{name} *=[^,!\n]*,?", r"\g<1>", text, flags=re.MULTILINE | re.IGNORECASE)
    return text


def starting_from_files(text: str, yes: bool) -> str:
    """An input that starts from density and wavefunctions of the run before, or from those of atoms."""
    bare = without(text, ("startingpot", "startingwfc"))
    start: Values = {("ELECTRONS", "startingwfc"): "file", ("ELECTRONS", "startingpot"): "file"}
    return with_values(bare, start) if yes else bare


def with_structure(text: str, atoms: Atoms) -> str:
    """An input with another structure of the same atoms. What follows a position, such as `0 0 0`, stays.

    The cell stays, too, unless it relaxes: the one in an output has six decimals.

    Raises:
        CalculationError: the input has no positions of these atoms in these units.
    """
    site = r" *[A-Z][A-Za-z]?\w*(?: +[-+.\d]\S*){3}.*\n?"
    cards = re.search(rf"^ATOMIC_POSITIONS.*\n(?P<sites>(?:{site})+)", text, re.MULTILINE)
    rows = [row.split() for row in cards["sites"].splitlines()] if cards is not None else []
    symbols = ["".join(re.findall(r"^[A-Za-z]{1,2}", row[0])).capitalize() for row in rows]
    if cards is None or symbols != atoms.get_chemical_symbols():
        raise CalculationError(
            "The positions in the input of pw.x are not those of the atoms in its output: write it anew, or go on by "
            "hand."
        )
    sites = [
        " ".join(["  " + row[0], numbers(place), *row[4:]]) for row, place in zip(rows, atoms.positions, strict=True)
    ]
    text = text[: cards.start()] + "\n".join(["ATOMIC_POSITIONS angstrom", *sites, text[cards.end() :]])
    if "vc-relax" not in value_in(text, "calculation"):
        return text
    cell = "\n".join(["CELL_PARAMETERS angstrom", *(f"  {numbers(row)}" for row in atoms.cell.array)])
    return re.sub(r"^CELL_PARAMETERS.*(?:\n.*){3}", cell, text, count=1, flags=re.MULTILINE)


def outputs(folder: Path) -> tuple[Path, ...]:
    """pw.x's outputs in a folder, the latest last; see `earlier_runs.outputs_in`."""
    return outputs_in(folder, (".out", ".pwo", ".log"), "Program PWSCF", 20_000)


def set_aside(folder: Path) -> None:
    """Move what another calculation has left into a hidden folder, which nothing reads."""
    kept = [path for path in folder.iterdir() if re.fullmatch(rf"{PREFIX}\.\d+\.(?:out|pwi)", path.name)]
    left = [*outputs(folder), *kept]
    if left:
        move_aside(folder, left)
