"""The paragraph on the learning loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from defectscout.evaluation.trust import Ending, Trust, surrogates_say
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.reporting.report.campaign_facts import asked, items, learned
from defectscout.reporting.report.methods_words import number, span
from defectscout.reporting.wording import count
from defectscout.workflow.learn.settings import LearnSettings
from defectscout.workflow.overview import Overview


def learning(group: Sequence[Overview]) -> list[str]:
    """What the loop asked, how it tuned the surrogate, and how it ended; empty without one."""
    settings = group[0].settings
    if settings.strategy != "learn" or not asked(group):
        return []
    info = group[0].surrogate
    familiar = info is not None and info.tuned
    told = [item.result.trust for item in items(group) if item.result.trust is not None]
    first = _first(settings.learn, familiar)
    if not learned(group):
        return [first]
    return [
        first,
        _rounds(settings.learn, settings.refinement),
        _tuning(settings.learn, familiar),
        *_ends(told),
        *_checks(told),
        *_curvatures(told),
    ]


def _first(settings: LearnSettings, familiar: bool) -> str:
    relaxed = f" and up to {count(settings.first_relaxations, 'sampling structure')} with a new bond"
    others = f", and evaluated up to {count(settings.first_points, 'other')} once"
    begun = "In a first round the reference relaxed, for each defect, the unperturbed structure"
    if familiar:
        return (
            f"{begun}, its steps proposed by the model as it had been before any tuning if that was at hand; where the "
            "surrogate had not been tuned on such a host, a few sampling structures as well."
        )
    return f"{begun}{relaxed if settings.first_relaxations else ''}{others if settings.first_points else ''}."


def _rounds(settings: LearnSettings, refinement: RelaxationSettings) -> str:
    points = f"single points at up to {count(settings.points, 'structure')}"
    relaxing = f"up to {count(settings.relaxations, 'relaxation')} of new minima"
    asks = {
        "mixed": f"{points} and {relaxing}",
        "uncertain": f"{points} where networks of different rounds disagreed the most, and {relaxing}",
        "corrected": relaxing,
        "minima": relaxing,
    }[settings.ask]
    stepping = (
        "a Gaussian process over the reference's energies and forces"
        if settings.ask == "minima"
        else "the surrogate, corrected by a Gaussian process over the difference of its energies and forces from the "
        "reference's"
    )
    criterion = "largest" if refinement.criterion == "fmax" else "mean"
    return (
        "In each further round the surrogate was tuned on all answers so far, relaxed all sampling structures and the "
        f"minima known by then, and chose what the reference was asked: {asks}, of those predicted within "
        f"{number(settings.window)} eV of the lowest. Steps of a relaxation were proposed by {stepping}, and it ended "
        f"when the reference's own {criterion} force was below {number(refinement.force)} eV/Å, or where it had "
        "fallen into a known minimum."
    )


def _tuning(settings: LearnSettings, familiar: bool) -> str:
    tuning = settings.tuning
    again = (
        f" Up to {tuning.reused_frames} frames that it had learned from before were learned from again."
        if familiar and tuning.reused_frames
        else ""
    )
    networks = "" if tuning.ensemble == 1 else f" of each of {tuning.ensemble} networks"
    return (
        f"Tuning{networks} went on from the weights of the round before (Adam, learning rate "
        f"{number(tuning.learning_rate)} falling to {number(tuning.final_learning_rate)} of that, batches of "
        f"{tuning.batch_size}, at most {tuning.epochs} epochs and about {tuning.frames_seen} frames seen in a round, "
        f"weights {number(tuning.energy_weight)} (eV/atom)⁻² of energies and {number(tuning.force_weight)} (eV/Å)⁻² of "
        f"forces, one constant taken off the energies of each defect).{again}"
    )


def _ends(told: Sequence[Trust]) -> Iterator[str]:
    if not told:
        return
    rounds = span([one.rounds for one in told])
    patience = span([one.patience for one in told])
    quiet = f"{patience} {'round' if patience == '1' else 'rounds'}"
    converged = sum(one.converged for one in told)
    yield (
        f"A loop was to go on until {quiet} in a row brought nothing new and lower; it took {rounds} "
        f"{'round' if rounds == '1' else 'rounds'}."
    )
    if converged == len(told):
        all_of = {1: "It", 2: "Both loops"}.get(len(told), f"All {len(told)} loops")
        yield f"{all_of} converged."
    else:
        budget = any(one.ending in (Ending.MAX_ROUNDS, Ending.MAX_FORCE_CALLS, Ending.MAX_HOURS) for one in told)
        why = ", the others ending with their budget or with relaxations left unfinished" if budget else ""
        yield "It did not converge." if len(told) == 1 else f"Of {len(told)} loops {converged} converged{why}."


def _curvatures(told: Sequence[Trust]) -> Iterator[str]:
    probed = [one.probed for one in told if one.probed is not None]
    if not probed:
        return
    minima = [one for one in probed if one.settled and not one.saddle]
    which = "the ground state" if len(probed) == 1 else f"{len(probed)} ground states"
    yield (
        f"The lowest curvature of the reference around {which} was sought by Davidson's method, from forces at "
        f"{span([one.calls for one in probed])} displaced structures{'' if len(probed) == 1 else ' each'}."
    )
    if minima:
        lowest = min(one.curvature for one in minima)
        shown = "It was" if len(probed) == 1 else f"{len(minima)} of them were"
        yield f"{shown} found to be a minimum{'' if len(minima) == 1 else ' each'} ({lowest:.2f} eV/Å² or more)."
    if saddles := sum(one.saddle for one in probed):
        yield f"{'It' if len(probed) == 1 else saddles} stood on a saddle point, below which nothing was found."
    if left := sum(not one.settled and not one.saddle for one in probed):
        yield f"For {'it' if len(probed) == 1 else left} this was not settled within these calls."


def _checks(told: Sequence[Trust]) -> Iterator[str]:
    checks = sum(one.checks for one in told)
    if not checks:
        return
    found = [one for item in told for one in item.surprises]
    missed = sum(len(one.missed) for one in told)
    near = "within the window given above" if len(found) == 1 == missed else f"{missed} of them within that window"
    led = (
        f"which led to {count(len(found), 'minimum', 'minima')} that the loop had not found, "
        f"{near if missed else 'outside the window given above'}"
        if found
        else "which led to nothing near the ground state that was not known"
    )
    was = "was" if checks == 1 else "were"
    made = f"{count(checks, 'sampling structure')} {was} relaxed by the reference alone{surrogates_say(*told)}"
    yield f"As a check {made}, {led}."
