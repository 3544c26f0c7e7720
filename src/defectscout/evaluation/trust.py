"""What speaks for the answer of a learning loop and what against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from defectscout.learning.ranking import spearman
from defectscout.learning.uncertainty import calibrated


class Ending(StrEnum):
    """Why the loop ended."""

    QUIET = "quiet"  # `patience` rounds brought nothing new and lower
    NOTHING_LEFT = "nothing_left"  # the strategy had no question
    MAX_ROUNDS = "max_rounds"
    MAX_FORCE_CALLS = "max_force_calls"
    MAX_HOURS = "max_hours"


@dataclass(frozen=True, slots=True)
class Surprise:
    """A minimum that a check found and the loop had not.

    Attributes:
        label: the sampling structure that the reference relaxed alone.
        energy: above the ground state of the answer, eV; 0 if it is the ground state.
    """

    label: str
    energy: float


@dataclass(frozen=True, slots=True)
class Probed:
    """What force calls beside the ground state said of the reference's curvature there.

    Attributes:
        curvature: the lowest that was found, eV/Å².
        calls: force calls that were spent on it.
        settled: whether more would find no lower one, and it is that of a minimum.
        saddle: whether it is negative, so that the ground state is a saddle point below which nothing was found.
    """

    curvature: float
    calls: int
    settled: bool
    saddle: bool


@dataclass(frozen=True, slots=True)
class Trust:
    """How far the answer of a learning loop can be trusted. Plain data, for `summary.json`.

    Attributes:
        rounds: rounds in all, without the one that asks sampling structures.
        quiet_rounds: rounds at the end that brought nothing new and lower.
        patience: how many of those were asked for.
        minima: minima found on the reference's surface.
        converged: whether the loop ended because there was no more to learn; see `trust`.
        ending: why it ended.
        unfinished: relaxations within the window that were begun and not ended.
        n_pairs: structures whose energy was predicted before the reference was asked.
        spearman: rank correlation of predicted and reference energies; None for fewer than three structures.
        energy_mae: mean absolute error of the predicted energies, each set relative to its mean, eV; None for
            fewer than two structures.
        spread_scale: by what the spread must be multiplied to be the error of forces; None if not known.
        checks: sampling structures that the reference relaxed alone at the end.
        foreseen: those among them that were ended on the way, since the surrogate foresaw that they would end too high.
        surprises: minima that those found and the loop had not, the lowest first.
        window: how far above the ground state the loop was to know every minimum, eV.
        led: those checks that came to rest on the way, and went on in steps that the surrogate proposed.
        probed: what the reference said of the curvature around the ground state; None if it was not asked.
    """

    rounds: int
    quiet_rounds: int
    patience: int
    minima: int
    converged: bool
    ending: Ending
    unfinished: int
    n_pairs: int
    spearman: float | None
    energy_mae: float | None
    spread_scale: float | None
    checks: int
    foreseen: int
    surprises: tuple[Surprise, ...]
    window: float
    led: int = 0
    probed: Probed | None = None

    @property
    def missed(self) -> tuple[Surprise, ...]:
        """Surprises within the window: what the loop should have found."""
        return tuple(surprise for surprise in self.surprises if surprise.energy <= self.window)


def trust(
    *,
    ending: Ending,
    rounds: int,
    quiet_rounds: int,
    patience: int,
    minima: int,
    unfinished: int,
    energies: Sequence[tuple[float, float]],
    spreads: Sequence[tuple[float, float]],
    checks: int,
    foreseen: int,
    surprises: Sequence[Surprise],
    window: float,
    led: int = 0,
    probed: Probed | None = None,
) -> Trust:
    """Judge a loop.

    It is converged if `patience` rounds at the end brought nothing new and lower, or if the last round did
    not and left nothing to ask (another one would see what this one saw), and a minimum was found, the lowest is
    not known to be a saddle point, and no relaxation within the window is unfinished. A budget that is spent at just
    that moment does not matter.

    Args:
        ending: why the loop ended.
        rounds: how many there were.
        quiet_rounds: rounds at the end, after the last surprise if there was one, that brought nothing new and lower.
        patience: how many of those were asked for.
        minima: minima found on the reference's surface.
        unfinished: relaxations within the window that were begun and not ended.
        energies: predicted before asking, and by the reference, of each structure that was asked, eV. The
            predictions of all rounds are on one scale (that of the reference).
        spreads: spread before asking and force error found, eV/Å; see `learning.uncertainty`.
        checks: sampling structures that the reference relaxed alone at the end.
        foreseen: those among them that were ended on the surrogate's word.
        surprises: what they found.
        window: how far above the ground state the loop was to know every minimum, eV.
        led: those checks that went on from where they came to rest in steps that the surrogate proposed.
        probed: what the reference said of the curvature around the ground state.
    """
    pairs = np.array(energies, dtype=float).reshape(-1, 2)
    predicted, expected = pairs[np.isfinite(pairs).all(axis=1)].T
    rho = spearman(expected, predicted)
    deviations = (predicted - predicted.mean()) - (expected - expected.mean()) if len(predicted) > 1 else None
    quiet = quiet_rounds >= patience or (ending is Ending.NOTHING_LEFT and quiet_rounds > 0)
    return Trust(
        rounds=rounds,
        quiet_rounds=quiet_rounds,
        patience=patience,
        minima=minima,
        converged=quiet and minima > 0 and unfinished == 0 and not (probed is not None and probed.saddle),
        ending=ending,
        unfinished=unfinished,
        n_pairs=len(predicted),
        spearman=rho if np.isfinite(rho) else None,
        energy_mae=None if deviations is None else float(np.abs(deviations).mean()),
        spread_scale=calibrated(spreads),
        checks=checks,
        foreseen=foreseen,
        surprises=tuple(sorted(surprises, key=lambda surprise: (surprise.energy, surprise.label))),
        window=window,
        led=led,
        probed=probed,
    )


def sentences(told: Trust) -> tuple[str, ...]:
    """What a scientist reads, the verdict first."""
    return (verdict(told), _agreement(told), *_calibration(told), _checks(told), *_curvature(told))


def verdict(told: Trust) -> str:
    """Whether the loop converged, and what speaks for it or against it."""
    rounds = _count(told.rounds, "round")
    quiet = f"the last {told.quiet_rounds} brought" if told.quiet_rounds > 1 else "the last one brought"
    if told.converged:
        end = " and left nothing to ask" if told.ending is Ending.NOTHING_LEFT else ""
        return f"Converged after {rounds} of learning: {quiet} nothing new and lower{end}."
    parts = [] if told.ending is Ending.QUIET else [_WHY[told.ending]]
    if not told.minima:
        parts.append("no minimum was relaxed to its end")
    if told.unfinished:
        is_ = "is" if told.unfinished == 1 else "are"
        parts.append(f"{_count(told.unfinished, 'relaxation')} within the window {is_} unfinished")
    if told.probed is not None and told.probed.saddle:
        parts.append("the lowest structure is a saddle point")
    if told.rounds and told.quiet_rounds < told.patience:
        news = f"{quiet} nothing new and lower" if told.quiet_rounds else "the last one brought something new or lower"
        parts.append(f"{news} (asked for: {_count(told.patience, 'quiet round')} in a row)")
    return f"Not converged after {rounds} of learning: {'; '.join(parts)}."


_WHY = {
    Ending.NOTHING_LEFT: "the strategy had nothing left to ask",
    Ending.MAX_ROUNDS: "the largest number of rounds was reached (max_rounds)",
    Ending.MAX_FORCE_CALLS: "the force calls were spent (max_force_calls)",
    Ending.MAX_HOURS: "the time was spent (max_hours)",
}


def _agreement(told: Trust) -> str:
    if told.energy_mae is None:
        return "How well the surrogate ranks structures of this defect is not known: fewer than two were asked."
    rank = "" if told.spearman is None else f"rank correlation {told.spearman:.2f}, "
    return (
        f"Energies that the surrogate predicted before the reference was asked, over {told.n_pairs} structures of "
        f"this defect and all rounds: {rank}mean absolute error of relative energies {told.energy_mae:.2f} eV."
    )


def _calibration(told: Trust) -> tuple[str, ...]:
    if told.spread_scale is None:
        return ("Too few structures were asked to say what the spread of the surrogate is worth.",)
    return (f"Errors of the surrogate's forces were {told.spread_scale:.1f} times their spread.",)


def _checks(told: Trust) -> str:
    if not told.checks:
        return "No sampling structure was relaxed by the reference alone, so that a surprise is not ruled out."
    made = f"{_count(told.checks, 'sampling structure')} relaxed by the reference alone{surrogates_say(told)}"
    if not told.surprises:
        return f"{made} led to nothing within {told.window:g} eV of the ground state that was not known."
    found = ", ".join(f"{_height(surprise.energy)} ({surprise.label})" for surprise in told.surprises)
    return f"{made} led to {_count(len(told.surprises), 'minimum', 'minima')} that the loop had not found: {found}."


def _curvature(told: Trust) -> tuple[str, ...]:
    if told.probed is None:
        return ()
    lowest, calls = f"{told.probed.curvature:.2f} eV/Å²", _count(told.probed.calls, "force call")
    if told.probed.saddle:
        return (
            f"The ground state is a saddle point: the reference's curvature there is {lowest} along one direction "
            f"({calls}), and nothing lower was found on that way down. Relax it once more, from a rattled start.",
        )
    if told.probed.settled:
        return (f"The ground state is a minimum: the reference's lowest curvature there is {lowest} ({calls}).",)
    return (
        f"Whether the ground state is a minimum was not settled within {calls} (learn.curvature_calls): the lowest "
        f"curvature of the reference that was found there is {lowest}.",
    )


def surrogates_say(*loops: Trust) -> str:
    """What has to be said beside the number of checks of some loops where the surrogate had a say in them."""
    checks, window = sum(told.checks for told in loops), max(told.window for told in loops)

    def part(some: int) -> str:
        return "" if checks == 1 else f"{some} of them " if some < checks else "all of them "

    said = []
    if led := sum(told.led for told in loops):
        said.append(f"{part(led)}down to where it came to rest, and on from there in steps that the surrogate proposed")
    if foreseen := sum(told.foreseen for told in loops):
        said.append(
            f"{part(foreseen)}until the surrogate, right about how far it fell, foresaw an end more than {window:g} eV "
            "above the ground state"
        )
    return f" ({'; '.join(said)})" if said else ""


def _height(energy: float) -> str:
    return "the ground state" if energy < 0.0005 else f"one {energy:.2f} eV above the ground state"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"
