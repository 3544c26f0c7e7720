"""How runs of pw.x fail, and what is done about it: nothing that would change what an energy means."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from defectscout.references.engines.espresso_restart import Values, starting_from_files, value_in, with_values
from defectscout.references.engines.retries import Mended
from defectscout.references.espresso import DIAGONALISATION

_SMALLEST_MIXING: Final = 0.02


Rung = Callable[[str], Mended]
"""A remedy: from the input as it is."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A way in which a run fails.

    Attributes:
        name: short, for the record.
        words: what it means, where pw.x's own words are not enough; empty where they are.
        pattern: by which it is known in pw.x's output; None where it is found out otherwise.
        rungs: remedies, in turn.
        start_over: whether the starting structure is taken again.
    """

    name: str
    words: str = ""
    pattern: re.Pattern[str] | None = None
    rungs: tuple[Rung, ...] = ()
    start_over: bool = False

    def remedy(self, text: str, tried: int) -> Mended | None:
        """The input with the next remedy in it; None if none is left."""
        return self.rungs[tried](text) if tried < len(self.rungs) else None


def _values(what: str, values: Values) -> Rung:
    def rung(text: str) -> Mended:
        return Mended(with_values(text, values), what)

    return rung


def _less_mixing(text: str) -> Mended:
    share = max(_float(value_in(text, "mixing_beta"), 0.7) / 4, _SMALLEST_MIXING)
    steps = max(200, 2 * round(_float(value_in(text, "electron_maxstep"), 100)))
    values: Values = {("ELECTRONS", "electron_maxstep"): steps, ("ELECTRONS", "mixing_beta"): share}
    what = f"a smaller share of the new density (mixing_beta = {share:g}) and {steps} steps"
    return Mended(with_values(text, values), what)


def _tighter(text: str) -> Mended:
    threshold = _float(value_in(text, "conv_thr"), 1e-6) / 100
    return Mended(
        with_values(text, {("ELECTRONS", "conv_thr"): threshold}), f"more exact forces (conv_thr = {threshold:g})"
    )


def _shorter(ini: float, largest: float) -> Rung:
    return _values(
        f"shorter steps (trust_radius_max = {largest:g})",
        {("IONS", "trust_radius_max"): largest, ("IONS", "trust_radius_ini"): ini},
    )


def _from_atoms(text: str) -> Mended:
    return Mended(starting_from_files(text, False), "from densities of atoms")


def _as_it_is(text: str) -> Mended:
    return Mended(text, "once more, as it is")


SCF: Final = Failure(
    "scf",
    rungs=(
        _less_mixing,
        _values(
            "mixing that knows of vacuum and slabs (mixing_mode = local-TF)", {("ELECTRONS", "mixing_mode"): "local-TF"}
        ),
        _less_mixing,
    ),
)
EXPLODED: Final = Failure("exploded", rungs=(_shorter(0.1, 0.2), _shorter(0.02, 0.05)), start_over=True)
UNREADABLE: Final = Failure("unreadable", "what the run before left cannot be read", rungs=(_from_atoms,))
CRASH: Final = Failure(
    "crash", "pw.x crashed", re.compile(r"SIGSEGV|SIGFPE|SIGABRT|Segmentation fault|forrtl: severe"), rungs=(_as_it_is,)
)
_OVERLAP: Final = re.compile(r"atoms #.*overlap!")
_BFGS: Final = Failure(
    "bfgs",
    "the optimiser is stuck",
    re.compile(r"bfgs failed after|dE0s is positive|history already reset at previous step"),
    (_tighter, _tighter),
)
_KNOWN: Final = (
    Failure(
        "diagonalisation",
        "the Hamiltonian could not be diagonalised",
        DIAGONALISATION,
        (_values("a safer solver (diagonalization = cg)", {("ELECTRONS", "diagonalization"): "cg"}), _less_mixing),
    ),
    _BFGS,
    Failure(
        "cell_factor",
        "the cell has grown beyond what was foreseen",
        re.compile(r"restarting with a larger cell_factor"),
        (_values("room for a larger cell (cell_factor = 4)", {("CELL", "cell_factor"): 4.0}),),
    ),
    Failure(
        "occupations",
        "these occupations do not fit the bands: a cell without a gap needs smearing, in all calculations alike",
        re.compile(r"charge is wrong|fixed occupations and lsda"),
    ),
)


def find_failure(text: str, message: str, steps: int, text_of_input: str) -> Failure | None:
    """The failure that an output tells of; None if there is none that is known.

    Args:
        text: pw.x's output; of self-consistent fields and geometries, see `SCF` and `EXPLODED`.
        message: what it says in its box of percent signs; empty if it has none.
        steps: ionic steps that it took.
        text_of_input: its input.
    """
    for failure in _KNOWN:
        if failure.pattern is not None and failure.pattern.search(message or text if failure is _BFGS else message):
            return failure
    if _OVERLAP.search(message):
        return EXPLODED
    if message:
        return UNREADABLE if not steps and value_in(text_of_input, "startingpot") else None
    return CRASH if CRASH.pattern is not None and CRASH.pattern.search(text) else None


def _float(text: str, otherwise: float) -> float:
    try:
        return float(text.lower().replace("d", "e"))
    except ValueError:
        return otherwise
