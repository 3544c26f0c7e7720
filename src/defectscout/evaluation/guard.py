"""Whether a tuned surrogate is better than the untouched one, on frames that it was not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from defectscout.evaluation.metrics import Metrics
from defectscout.surrogates.model_folder import Verdict

SPEARMAN_MARGIN: Final = 0.02
"""ρ may fall by this much before it counts as worse: repeated trainings with other seeds differ by as much."""

ERROR_MARGIN: Final = 0.05
"""Errors may grow by this share before they count as worse."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The untouched and the tuned surrogate side by side.

    Attributes:
        verdict: `better`, `mixed` (some measures fell), `worse` (ranking fell, or all measures did), `not judged`.
        sentence: the verdict with its numbers.
    """

    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class _Measure:
    name: str
    before: float
    after: float
    unit: str
    higher_is_better: bool

    @property
    def known(self) -> bool:
        return math.isfinite(self.before) and math.isfinite(self.after)

    @property
    def fell(self) -> bool:
        if self.higher_is_better:
            return self.after < self.before - SPEARMAN_MARGIN
        return self.after > self.before * (1 + ERROR_MARGIN)

    def __str__(self) -> str:
        digits = 2 if self.higher_is_better else 3 if self.unit == "eV" else 0
        return f"{self.name} {self.before:.{digits}f} → {self.after:.{digits}f}{' ' + self.unit if self.unit else ''}"


def judge(untouched: Metrics, tuned: Metrics, of_what: str) -> Judgement:
    """Compare two surrogates on the same frames.

    What a search needs is that structures of one defect are ranked and shaped right: Spearman's ρ of each defect's
    frames, energies relative to its ground state, and forces. Absolute energies take no part.

    Args:
        untouched: errors of the surrogate that training started from.
        tuned: errors of the trained one.
        of_what: what the frames are, such as `2 unseen defects`.
    """
    measures = [
        _Measure("ρ", untouched.spearman.value, tuned.spearman.value, "", True),
        _Measure("relative energies", untouched.relative.mae.value, tuned.relative.mae.value, "eV", False),
        _Measure("forces", untouched.force.mae.value, tuned.force.mae.value, "meV/Å", False),
    ]
    known = [measure for measure in measures if measure.known]
    if not known:
        return Judgement("not judged", f"There is nothing to judge the tuned model on in {of_what}.")
    fell = [measure for measure in known if measure.fell]
    if not fell:
        verdict: Verdict = "better"
        words = "Better than" if all(_gained(measure) for measure in known) else "No worse than"
    elif len(fell) == len(known) or (known[0].name == "ρ" and known[0].fell):
        verdict, words = "worse", "WORSE than"
    else:
        verdict, words = "mixed", "Partly worse than"
    numbers = "; ".join(str(measure) for measure in known)
    return Judgement(verdict, f"{words} the untouched model on {of_what}: {numbers}.")


def _gained(measure: _Measure) -> bool:
    return measure.after > measure.before if measure.higher_is_better else measure.after < measure.before
