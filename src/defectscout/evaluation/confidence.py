"""How sure the answer of a search is, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from defectscout.core.defect import UNPERTURBED, Defect, Minimum, SamplingStructure
from defectscout.evaluation.agreement import Agreement
from defectscout.evaluation.trust import Trust, surrogates_say, verdict
from defectscout.evaluation.unfamiliar import Unfamiliar
from defectscout.minima.bonds import new_nonmetal_bonds

Level = Literal["high", "moderate", "low"]

GOOD_FORCE_COSINE, POOR_FORCE_COSINE = 0.9, 0.7
GOOD_SPEARMAN, POOR_SPEARMAN = 0.9, 0.5
GOOD_FORCE_MAE, POOR_FORCE_MAE = 0.1, 0.3  # eV/Å
MANY_FAILURES = 1 / 3
FEW_STRUCTURES = 5
HOLES_THAT_BOND = 2
ONCE = 0.1  # of the sampling structures
_ORDER: tuple[Level, ...] = ("low", "moderate", "high")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a search when its answer is judged.

    Attributes:
        surrogate: whether a surrogate scouted; False for a reference-only search.
        surrogate_tuned: whether that surrogate was fine-tuned on defects.
        unfamiliar: what the search asks of a tuned surrogate that it was not trained for.
        agreement: surrogate against reference on this defect's frames; None if not measured.
        has_reference: False if the search stopped before any reference relaxation.
        n_sampling: sampling structures.
        n_surrogate_minima: distinct minima on the surrogate's surface (0 without a surrogate).
        erased_bonds: the surrogate undid every short bond that sampling had made (see `bonds_were_erased`).
        n_failed: relaxations that failed or whose host fell apart, on either surface.
        n_unanswered: candidates that the reference has not relaxed yet.
        lower_set_aside: a reference relaxation that was set aside because its host fell apart ended lower in
            energy than the ground state.
        ground_state_converged: whether the relaxation of the ground state converged.
        n_unconverged: other minima whose relaxations did not converge, and may still fall below it.
        only_unperturbed: of all sampling structures only the unperturbed one led to the ground state, which has the
            same symmetry still: a saddle point would look like that, too.
        n_minima: distinct minima on the final surface.
        n_reached_once: those of them that only one sampling structure led to.
        ground_state_reached_once: whether the ground state is one of those.
        found_new_bond: whether any minimum on the final surface has a new short bond; of an interstitial, one that the
            host has not, even if it was made with it.
        excess_charge: holes left by the defect (Defect.excess_charge).
        host_accepted_unstable: the host is unstable on the reference's surface and was accepted as it is.
        learned: what is known of a learning loop; None for other searches, whose surrogate stayed as it was.
    """

    surrogate: bool
    surrogate_tuned: bool
    unfamiliar: tuple[Unfamiliar, ...]
    agreement: Agreement | None
    has_reference: bool
    n_sampling: int
    n_surrogate_minima: int
    erased_bonds: bool
    n_failed: int
    n_unanswered: int
    lower_set_aside: bool
    ground_state_converged: bool
    n_unconverged: int
    only_unperturbed: bool
    n_minima: int
    n_reached_once: int
    ground_state_reached_once: bool
    found_new_bond: bool
    excess_charge: int
    host_accepted_unstable: bool
    learned: Trust | None = None


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure a search's ground state is.

    Attributes:
        level: high, moderate or low.
        reasons: sentences for a scientist, those that lower the level the most first.
    """

    level: Level
    reasons: tuple[str, ...]


def assess(evidence: Evidence) -> Confidence:
    """Judge a search.

    The level is the lowest that any of these rules gives; without one it is high.

    Low:
        - the host is unstable on the reference's surface and was accepted;
        - no reference relaxation was done: surrogate energies rank nothing;
        - candidates still wait for the reference;
        - a learning loop ended with its budget, before new and lower structures had ceased to come;
        - a structure that was set aside because its host fell apart is lower in energy;
        - the surrogate erased every short bond that sampling had made, and no minimum with a
          new bond was found otherwise (untouched universal models are known to do that);
        - forces or ranks of the surrogate disagree with the reference on this defect: force
          cosine < 0.7, ρ < 0.5 or force MAE > 0.3 eV/Å;
        - a tuned surrogate had no frame with one of the elements, and its agreement on this defect
          was not measured to be good: tuning may have spoilt what its base knew of that element;
        - more than a third as many relaxations failed, or lost their host, as there are sampling structures;
        - two or more holes, no new bond, and an untouched surrogate: such defects tend to
          form dimers (paper, section II A), and such a surrogate tends to miss them.
    Moderate:
        - an untouched surrogate chose the candidates: never high. A tuned one that does worse on
          unseen frames than the model that it was made from counts as untouched in every rule;
        - a tuned surrogate was not trained on a host of the family, on the charge state, or on the
          reference's method, did only partly better than its base on unseen frames, or was never
          judged there; or it had no frame with one of the elements and agrees all the same. A good
          agreement does not outweigh these: it is measured where the surrogate led, and says nothing
          of minima that it lacks;
        - a tuned surrogate whose agreement was not measured on this defect (or on fewer
          than three frames), or is middling: cosine < 0.9, ρ < 0.9 or MAE > 0.1 eV/Å;
        - the surrogate erased the sampled bonds although one was found otherwise;
        - two or more holes and no new bond, with a tuned surrogate or the reference alone;
        - the relaxation of the ground state, or of a minimum above it, did not converge;
        - only the unperturbed structure led to the ground state, with its symmetry kept;
        - some relaxations failed or lost their host;
        - only one sampling structure led to the ground state, or more than a tenth of them to minima that no other
          led to: the share of such finds estimates how many further starts would find a new minimum (Good and
          Turing, DOI 10.1093/biomet/40.3-4.237);
        - fewer than five sampling structures;
        - a learning loop was checked by no relaxation with the reference alone, or such a check found a minimum
          within the window of the ground state that the loop had not, or the surrogate's ranks before
          asking were unknown or poor (ρ < 0.5);
        - five or more sampling structures of which no two relaxed to one surrogate minimum: the
          surface is so rugged that more minima are likely.

    Returns:
        Level and reasons; where nothing speaks against the answer, the reasons say what speaks for it.
    """
    findings = [
        *_of_the_search(evidence),
        *(_of_the_surrogate(evidence) if evidence.surrogate else ()),
        *(_of_the_loop(evidence.learned) if evidence.learned is not None else ()),
        *_of_the_chemistry(evidence),
    ]
    if not findings:
        return Confidence("high", (_what_speaks_for_it(evidence),))
    # sorted() keeps the order of the rules among findings of one level.
    findings = sorted(findings, key=lambda finding: _ORDER.index(finding[0]))
    return Confidence(findings[0][0], tuple(text for _, text in findings))


def bonds_were_erased(
    defect: Defect, sampled: Sequence[SamplingStructure], surrogate_minima: Sequence[Minimum]
) -> bool:
    """Whether the surrogate undid every short bond between non-metals that sampling had made.

    True if at least one sampling structure has such a bond near the site (a dimer) and
    all surrogate minima together have none.

    Raises:
        SamplingError: a structure that is not of this defect.
    """
    if not surrogate_minima:
        return False
    if any(new_nonmetal_bonds(defect, minimum.atoms) for minimum in surrogate_minima):
        return False
    return any(new_nonmetal_bonds(defect, s.atoms) for s in sampled if s.label != UNPERTURBED)


def _of_the_search(evidence: Evidence) -> list[tuple[Level, str]]:
    findings: list[tuple[Level, str]] = []
    if evidence.host_accepted_unstable:
        findings.append(
            ("low", "The host is unstable on the reference's surface, so energies of its defects mean little there.")
        )
    if not evidence.has_reference:
        findings.append(
            ("low", "Nothing was relaxed with a reference; the surrogate's energies do not rank the candidates.")
        )
    if evidence.n_unanswered:
        findings.append(
            ("low", f"{_count(evidence.n_unanswered, 'candidate')} not relaxed with the reference yet; the ground "
             "state may be among them.")
        )  # fmt: skip
    if evidence.lower_set_aside:
        findings.append(
            ("low", "A structure that was set aside because its host fell apart is lower in energy than the ground "
             "state: look at it, since either the host is not stable on this surface, or the reconstruction is "
             "wide.")
        )  # fmt: skip
    if evidence.n_failed > MANY_FAILURES * evidence.n_sampling:
        findings.append(
            ("low", f"{_count(evidence.n_failed, 'relaxation')} failed or lost the host, with {evidence.n_sampling} "
             "starts.")
        )  # fmt: skip
    elif evidence.n_failed:
        leads = "it leads" if evidence.n_failed == 1 else "they lead"
        findings.append(
            ("moderate", f"{_count(evidence.n_failed, 'relaxation')} failed or lost the host; what {leads} to is not "
             "known.")
        )  # fmt: skip
    if evidence.n_unconverged:
        its = "its" if evidence.n_unconverged == 1 else "their"
        findings.append(
            ("moderate", f"{_count(evidence.n_unconverged, 'minimum', 'minima')} above the ground state stopped at "
             f"{its} step limit and may still fall below it.")
        )  # fmt: skip
    if evidence.only_unperturbed:
        findings.append(
            ("moderate", "Only the unperturbed structure led to the ground state, and a relaxation keeps its symmetry "
             "even on a saddle point.")
        )  # fmt: skip
    many_once = evidence.n_reached_once > ONCE * evidence.n_sampling
    if evidence.n_sampling >= FEW_STRUCTURES and (many_once or evidence.ground_state_reached_once):
        which = ", the ground state among them" if evidence.ground_state_reached_once else ""
        share = evidence.n_reached_once / evidence.n_sampling
        were = "was" if evidence.n_reached_once == 1 else "were"
        findings.append(
            ("moderate", f"{evidence.n_reached_once} of {_count(evidence.n_minima, 'minimum', 'minima')} {were} "
             f"reached from one sampling structure only{which}. By that count about {share:.0%} of further starts "
             "would lead to a new minimum, which may be lower.")
        )  # fmt: skip
    if not evidence.ground_state_converged:
        findings.append(
            (
                "moderate",
                "The relaxation of the ground state stopped at its step limit, so its energy is an upper bound.",
            )
        )
    if evidence.n_sampling < FEW_STRUCTURES:
        findings.append(
            ("moderate", f"Only {_count(evidence.n_sampling, 'sampling structure')} "
             f"{'was' if evidence.n_sampling == 1 else 'were'} tried.")
        )  # fmt: skip
    return findings


def _of_the_loop(told: Trust) -> list[tuple[Level, str]]:
    findings: list[tuple[Level, str]] = []
    if not told.converged:
        findings.append(("low", verdict(told)))
    if told.missed:
        findings.append(
            ("moderate", f"{_count(told.checks, 'relaxation')} by the reference alone found "
             f"{_count(len(told.missed), 'minimum', 'minima')} within {told.window:g} eV of the ground state that the "
             "loop had not: there may be more.")
        )  # fmt: skip
    if not told.checks:
        findings.append(
            ("moderate", "No sampling structure was relaxed by the reference alone to check what the surrogate may "
             "have missed.")
        )  # fmt: skip
    if told.spearman is None or told.spearman < POOR_SPEARMAN:
        ranks = "is not known" if told.spearman is None else f"was {told.spearman:.2f} over all rounds"
        findings.append(
            ("moderate", f"How well the surrogate ranked structures before they were asked {ranks}, so that what it "
             "never proposed may matter.")
        )  # fmt: skip
    return findings


def _of_the_surrogate(evidence: Evidence) -> list[tuple[Level, str]]:
    findings: list[tuple[Level, str]] = []
    if evidence.erased_bonds:
        level: Level = "moderate" if evidence.found_new_bond else "low"
        findings.append(
            (level, "The surrogate undid every short bond that the sampling structures had, as models trained on bulk "
             "crystals are known to do; dimers may be missing. Fine-tune it on this defect, or search with the "
             "reference alone.")
        )  # fmt: skip
    findings += _of_the_agreement(evidence)
    if not evidence.surrogate_tuned:
        findings.append(
            ("moderate", "The surrogate that chose the candidates was never trained on defects and may lack minima "
             "that the reference has.")
        )  # fmt: skip
    findings += [(_level_of(item, evidence), item.sentence) for item in evidence.unfamiliar]
    if evidence.n_sampling >= FEW_STRUCTURES and evidence.n_surrogate_minima >= evidence.n_sampling:
        findings.append(
            ("moderate", "No two sampling structures relaxed to the same minimum of the surrogate, so there are "
             "probably more minima than were sampled.")
        )  # fmt: skip
    return findings


def _level_of(item: Unfamiliar, evidence: Evidence) -> Level:
    return "low" if item.kind == "elements" and _of_the_agreement(evidence) else "moderate"


def _is_untouched(evidence: Evidence) -> bool:
    """Whether the surrogate was not tuned on defects, or to no avail."""
    return not evidence.surrogate_tuned or any(item.kind == "worse" for item in evidence.unfamiliar)


def _of_the_agreement(evidence: Evidence) -> list[tuple[Level, str]]:
    measured = evidence.agreement
    if measured is None or measured.n_frames == 0:
        return [("moderate", "How well the surrogate agrees with the reference on this defect was not measured.")]
    numbers = _numbers(measured)
    if (
        measured.force_cosine < POOR_FORCE_COSINE
        or measured.spearman < POOR_SPEARMAN
        or measured.force_mae > POOR_FORCE_MAE
    ):
        return [("low", f"On this defect the surrogate disagrees with the reference {numbers}.")]
    if not (
        measured.force_cosine >= GOOD_FORCE_COSINE
        and measured.spearman >= GOOD_SPEARMAN
        and measured.force_mae <= GOOD_FORCE_MAE
    ):
        undetermined = not np.isfinite([measured.force_cosine, measured.spearman]).all()
        verdict = "could not be fully compared with" if undetermined else "agrees only roughly with"
        return [("moderate", f"On this defect the surrogate {verdict} the reference {numbers}.")]
    return []


def _numbers(measured: Agreement) -> str:
    """The measured numbers in brackets, without those that the frames do not determine."""
    told = [
        f"{name} {value:.2f}{unit}"
        for name, value, unit in (
            ("force MAE", measured.force_mae, " eV/Å"),
            ("force cosine", measured.force_cosine, ""),
            ("rank correlation of the energies", measured.spearman, ""),
        )
        if np.isfinite(value)
    ]
    return f"({', '.join([*told, _count(measured.n_frames, 'frame')])})"


def _of_the_chemistry(evidence: Evidence) -> list[tuple[Level, str]]:
    if evidence.excess_charge < HOLES_THAT_BOND or evidence.found_new_bond:
        return []
    untouched = evidence.surrogate and _is_untouched(evidence)
    text = (
        f"The defect lacks {evidence.excess_charge} electrons, which often leads to new bonds between its neighbours, "
        f"but no minimum has one"
    )
    if untouched:
        return [("low", f"{text}; an untouched surrogate tends to miss them.")]
    return [("moderate", f"{text}; more sampling structures (every pair of neighbours) would tell.")]


def _what_speaks_for_it(evidence: Evidence) -> str:
    if evidence.learned is not None:
        return (
            "The learning loop converged, and relaxations by the reference alone"
            f"{surrogates_say(evidence.learned)} found no minimum within {evidence.learned.window:g} eV of the "
            "ground state that it had missed."
        )
    if evidence.surrogate:
        return "A tuned surrogate that agrees with the reference on this defect chose the candidates."
    return "Every sampling structure was relaxed with the reference."


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"
