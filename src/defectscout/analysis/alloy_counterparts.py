"""Which defect of a coarse study is the same as which of a finer one, and what each means for the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from ase.geometry import find_mic

from defectscout.analysis.acceleration import counterpart
from defectscout.analysis.alloy_words import kind_of
from defectscout.analysis.elsewhere import beside_each_other
from defectscout.core.defect import Defect
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.alloys.study import StudiedSupercell
from defectscout.workflow.overview import Overview

_SAME_PLACE: Final = 1.0
"""Å: sites of two relaxations of one supercell that lie closer together are the same. Sites of crystals are farther
apart."""

Place = tuple[str, str]
"""Name of a supercell and label of a defect."""


@dataclass(frozen=True, slots=True, eq=False)
class Counterpart:
    """The same defect in a coarse study.

    Attributes:
        study: number of the coarse study among those that were given.
        supercell: name of the supercell, in both studies.
        label: of the defect there.
    """

    study: int
    supercell: str
    label: str


def counterparts(
    study: AlloyOverview, coarse: Sequence[AlloyOverview]
) -> tuple[Mapping[Place, Counterpart], tuple[str, ...]]:
    """The defects of a study that coarse ones have searched as well, so that energies compare.

    Two searches compare if name and cell of the supercell, the arrangement of its elements, the site, the defect and
    its charge, and the reference are the same. Of several coarse searches of one defect the first counts.

    Returns:
        Counterparts by supercell and label in the study, and what was not compared, and why.
    """
    found: dict[Place, Counterpart] = {}
    notes: list[str] = []
    for number, other in enumerate(coarse):
        if other.folder.resolve() == study.folder.resolve():
            notes.append(f"{other.folder} is not compared with itself.")
            continue
        here, there = ({item.name: item for item in one.study.supercells} for one in (study, other))
        for name in (name for name in there if name not in here):
            notes.append(f"{name} of {other.folder} is no supercell of {study.folder}: it is not compared.")
        for name in (name for name in here if name in there):
            if name not in study.campaigns or name not in other.campaigns:
                missing = study if name not in study.campaigns else other
                notes.append(f"{name} is not compared with {other.folder}: it has no defects yet in {missing.folder}.")
                continue
            pairs, reason = _pairs(study.campaigns[name], here[name], other.campaigns[name], there[name])
            if reason:
                notes.append(f"{name} is not compared with {other.folder}: {reason}.")
            for label, other_label in pairs.items():
                if (name, label) in found:
                    notes.append(
                        f"{label} in {name} is not compared with {other.folder}: it is with "
                        f"{coarse[found[name, label].study].folder}."
                    )
                    continue
                found[name, label] = Counterpart(number, name, other_label)
    return found, tuple(dict.fromkeys(notes))


def told_of_each_other(
    study: AlloyOverview, coarse: Sequence[AlloyOverview], found: Mapping[Place, Counterpart]
) -> tuple[AlloyOverview, tuple[AlloyOverview, ...]]:
    """Studies whose defects know of a lower minimum in the others (see `analysis.elsewhere`).

    Args:
        study: the finer one.
        coarse: the others.
        found: which defect is which.
    """
    campaigns = dict(study.campaigns)
    others = [dict(one.campaigns) for one in coarse]
    for (name, label), match in found.items():
        mine, theirs = study.campaigns[name], coarse[match.study].campaigns[name]
        item, other = mine.defects[label], theirs.defects[match.label]
        # Each beside the other under the label that it has there: studies may name their sites differently.
        told = _told(mine, label, replace(theirs, defects={label: other}))
        campaigns[name] = _with(campaigns[name], label, told)
        told = _told(theirs, match.label, replace(mine, defects={match.label: item}))
        changed = others[match.study]
        changed[name] = _with(changed[name], match.label, told)
    return replace(study, campaigns=campaigns), tuple(
        replace(one, campaigns=changed) for one, changed in zip(coarse, others, strict=True)
    )


def _told(overview: Overview, label: str, other: Overview) -> Overview:
    alone = replace(overview, defects={label: overview.defects[label]})
    return beside_each_other([alone], [other])[0]


def _with(overview: Overview, label: str, told: Overview) -> Overview:
    return replace(overview, defects={**overview.defects, label: told.defects[label]})


def _pairs(
    mine: Overview, here: StudiedSupercell, theirs: Overview, there: StudiedSupercell
) -> tuple[Mapping[str, str], str]:
    """Labels there by labels here, or why there are none."""
    pairs: dict[str, str] = {}
    reasons: list[str] = []
    for label, item in mine.defects.items():
        other = _same_defect(item.defect, here, theirs, there)
        if other is None:
            continue
        renamed = replace(theirs, defects={label: theirs.defects[other]})
        found, reason = counterpart(mine, label, {mine.formula: renamed})
        if found is not None:
            pairs[label] = other
        reasons.append(reason)
    if pairs:
        return pairs, ""
    return {}, next(iter(reasons), "no defect was searched at a site of both")


def _same_defect(defect: Defect, here: StudiedSupercell, theirs: Overview, there: StudiedSupercell) -> str | None:
    """Label of the same defect at the same site there, or of one with the same name; None if there is none.

    One with the same name elsewhere is the same if the two supercells are, seen from there.
    """
    site = here.site_of(defect.label)
    if site is None:
        return None
    for label, item in theirs.defects.items():
        other = there.site_of(label)
        if other is None or kind_of(item.defect, other) != kind_of(defect, site):
            continue
        step = np.asarray(defect.bulk.cell.cartesian_positions(defect.site - item.defect.site))
        if find_mic(step, defect.bulk.cell, pbc=True)[1] < _SAME_PLACE:
            return label
    return defect.label if defect.label in theirs.defects else None
