"""How a search narrowed down, and what it spent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Funnel:
    """Counts of one search of one defect, from sampling structures to minima.

    Attributes:
        sampling: sampling structures.
        scouted: of these, the ones that the surrogate relaxed; 0 for a reference-only search.
        failed: relaxations, on either surface, that failed.
        flagged: relaxed structures whose host fell apart, on either surface.
        candidates: structures chosen for reference relaxation.
        reference_relaxations: reference relaxations that were run.
        minima: distinct minima on the reference surface; 0 where there is no reference.
        surrogate_calls: force calls of the surrogate, counted per structure.
        reference_calls: force calls of the reference.
        reference_only_calls: force calls of a reference-only search of the same defect; None if there is none.
    """

    sampling: int
    scouted: int
    failed: int
    flagged: int
    candidates: int
    reference_relaxations: int
    minima: int
    surrogate_calls: int
    reference_calls: int
    reference_only_calls: int | None = None

    @property
    def calls_saved(self) -> int | None:
        """Reference force calls that the surrogate saved; negative if it cost more; None if not known."""
        if self.reference_only_calls is None:
            return None
        return self.reference_only_calls - self.reference_calls

    @property
    def share_saved(self) -> float | None:
        """Calls saved as a fraction of the reference-only search's; None if not known."""
        if self.calls_saved is None or not self.reference_only_calls:
            return None
        return self.calls_saved / self.reference_only_calls

    @property
    def sentence(self) -> str:
        """The funnel in words: "15 → 4 candidates → 3 minima"."""
        candidates = "candidate" if self.candidates == 1 else "candidates"
        minima = "minimum" if self.minima == 1 else "minima"
        return f"{self.sampling} → {self.candidates} {candidates} → {self.minima} {minima}"
