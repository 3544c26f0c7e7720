"""What is said of a search in the same words everywhere: terminal, report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from defectscout.evaluation.agreement import Agreement
from defectscout.evaluation.trust import sentences
from defectscout.workflow.compare import GROUND_STATE_TOLERANCE
from defectscout.workflow.overview import DefectOverview
from defectscout.workflow.results import DefectResult, RankedMinimum, Sibling

NO_NEW_BONDS: Final = "none near"
"""Only bonds near the site are looked for (`minima.bonds.NEAR_SITE`); the answer does not speak of others."""


MOST_SIBLINGS: Final = 4
"""Defects that are named one by one."""


def rank_text(rank: int) -> str:
    """A minimum's place: `ground state` or `metastable 1`."""
    return "ground state" if rank == 0 else f"metastable {rank}"


def place_text(item: DefectOverview, rank: int) -> str:
    """A minimum's place, as sure as it is: the lowest is the ground state of a search that has ended, if no other one
    has found a lower."""
    if rank == 0 and item.lower is not None:
        return "lowest here"
    return rank_text(rank) if rank or item.finished else "lowest so far"


def bonds_text(item: RankedMinimum) -> str:
    """New bonds of a minimum, each with its length."""
    return ", ".join(str(bond) for bond in item.minimum.new_bonds) or NO_NEW_BONDS


def lengths_text(item: RankedMinimum) -> str:
    """New bonds of a minimum, kind by kind: `Te–Te 2.72, 2.74 Å`."""
    kinds: dict[str, list[str]] = {}
    for bond in item.minimum.new_bonds:
        kinds.setdefault("–".join(bond.species), []).append(f"{bond.length:.2f}")
    return ", ".join(f"{kind} {', '.join(lengths)} Å" for kind, lengths in kinds.items()) or NO_NEW_BONDS


def symmetry_text(item: RankedMinimum, before: str) -> str:
    """Point group of a minimum, and what it was before if that is another."""
    after = item.minimum.site_symmetry
    return after if after == before else f"{before} → {after}"


def short_label(label: str) -> str:
    """A sampling structure where there is little room: `-40.0%`, `Dimer`."""
    return label.replace("Bond_Distortion_", "")


def labels_text(labels: Sequence[str], most: int = 3) -> str:
    """The first of some sampling structures, and how many more there are."""
    short = [short_label(label) for label in labels]
    return ", ".join(short) if len(short) <= most else f"{', '.join(short[:most])} and {len(short) - most} more"


def funnel_lines(item: DefectResult) -> list[str]:
    """How a search narrowed down, what it spent and saved, and how far its surrogate can be trusted."""
    funnel = item.funnel
    lines = [f"{funnel.sentence}; force calls: {funnel.surrogate_calls} surrogate, {funnel.reference_calls} reference"]
    if funnel.calls_saved is not None and funnel.share_saved is not None:
        lines.append(
            f"Against the reference-only search ({funnel.reference_only_calls} force calls): "
            f"{funnel.calls_saved} saved, {funnel.share_saved:.0%}"
        )
    lines += siblings_lines(item)
    if item.agreement is not None:
        lines.append(agreement_line(item.agreement))
    if item.trust is not None:
        lines += sentences(item.trust)
    return lines


def siblings_lines(item: DefectResult) -> list[str]:
    """How the ground state compares with those of defects of the same atoms and charge that were made elsewhere."""
    lines = []
    if same := _same_as(item):
        have = "have" if sum(one.is_same for one in item.siblings) > 1 else "has"
        lines.append(f"{same}, of the same atoms and charge, {have} the same ground state.")
    apart = [one for one in item.siblings if not one.is_same]
    if lower := _lower_sibling(item):
        lines.append(f"{lower.label}, of the same atoms and charge, has a ground state {-lower.above:.2f} eV lower.")
    elif apart and apart[0].above <= GROUND_STATE_TOLERANCE:
        about = f"{1000 * apart[0].above:+.0f} meV"
        lines.append(f"{apart[0].label}, of the same atoms and charge, has another ground state as low ({about}).")
    elif apart:
        near = f"next is {apart[0].label}, {apart[0].above:+.2f} eV"
        lines.append(f"No defect of the same atoms and charge has a lower ground state; {near}.")
    return lines


def siblings_in_short(item: DefectResult) -> list[str]:
    """Likewise, in a few words each; nothing of those that lie higher."""
    same, lower = _same_as(item), _lower_sibling(item)
    words = [f"the same as that of {same}"] if same else []
    return [*words, f"{lower.label}, of the same atoms, is {-lower.above:.2f} eV lower"] if lower else words


def _same_as(item: DefectResult) -> str:
    same = [one.label for one in item.siblings if one.is_same]
    return listed(same) if len(same) <= MOST_SIBLINGS else f"{len(same)} other defects"


def _lower_sibling(item: DefectResult) -> Sibling | None:
    lowest = min(item.siblings, key=lambda one: one.above, default=None)
    return lowest if lowest is not None and lowest.above < -GROUND_STATE_TOLERANCE else None


def agreement_line(agreement: Agreement) -> str:
    """How well the surrogate agrees with the reference."""
    return (
        f"Surrogate against reference on {agreement.n_frames} frames of this defect: force MAE "
        f"{agreement.force_mae:.2f} eV/Å, cosine {agreement.force_cosine:.2f}; relative energies MAE "
        f"{agreement.energy_mae_relative:.2f} eV, rank correlation {agreement.spearman:.2f}"
    )


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 defect`, `2 defects`."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"


def listed(items: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def duration(seconds: float) -> str:
    """A time as a person says it: `45 s`, `12 min`, `3.4 h`, `2.1 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"
