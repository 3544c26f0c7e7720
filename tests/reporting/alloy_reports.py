"""Studies of Cd(Te,Se) for reports: compositions and realisations searched finely, and coarsely beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase import Atoms

from analysis.alloy_overviews import a_study, a_vacancy, alloy_crystal, environment_of, paired, searched
from defectscout.core.defect import Defect
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.overview import Cost, DefectOverview
from defectscout.workflow.settings import Strategy
from minima.vacancy_cases import breathing

PAIRS = ("Te-Te", "Se-Te", "Se-Se")


def sites_of(bulk: Atoms) -> list[Defect]:
    """A vacancy at one Cd atom of each environment."""
    atoms = [int(atom) for atom in np.flatnonzero(bulk.symbols == "Cd")]
    return [a_vacancy(bulk, name) for name in dict.fromkeys(environment_of(bulk, atom) for atom in atoms)]


def landscape(defect: Defect, strategy: Strategy, energy: float, step: str = "", calls: int = 60) -> DefectOverview:
    """A dimer of the heaviest pair that there is, `energy` eV, above it the symmetric structure."""
    symbols = environment_symbols(defect)
    pair = next(pair for pair in PAIRS if all(symbols.count(one) >= pair.count(one) for one in pair.split("-")))
    found = [(paired(defect, pair), energy, ("Dimer", "Bond_Distortion_-40.0%")),
             (breathing(defect), 0.0, ("Unperturbed",))]  # fmt: skip
    surrogate = 0 if strategy == "reference-only" else 900
    cost = Cost(calls, 2.0 * calls, surrogate, 0.1 * surrogate, 0.0)
    return searched(defect, found, strategy=strategy, step=step, cost=cost, confidence="moderate")


def environment_symbols(defect: Defect) -> list[str]:
    from minima.vacancy_cases import neighbours

    return [str(defect.atoms.symbols[atom]) for atom in neighbours(defect)]


def the_study(
    strategy: Strategy = "scout",
    selenium: Sequence[int] = (13,),
    realisations: int = 1,
    *,
    folder: str = "fine",
    depth: float = -1.0,
    calls: int = 60,
    open_last: bool = False,
) -> AlloyOverview:
    """A study whose every site has a dimer.

    Args:
        strategy: of its searches.
        selenium: atoms of Se in each composition, of 32 anions.
        realisations: of each.
        folder: it seems to lie in.
        depth: energy of the dimers, eV; they get 0.05 eV lower from site to site.
        calls: reference force calls of each search.
        open_last: whether the last search of all has not ended.
    """
    campaigns = []
    for number in selenium:
        for realisation in range(1, realisations + 1):
            sites = sites_of(alloy_crystal(number, seed=100 * number + realisation))
            items = [landscape(site, strategy, depth - 0.05 * index, calls=calls) for index, site in enumerate(sites)]
            campaigns.append((realisation, items))
    if open_last:
        realisation, items = campaigns[-1]
        last = landscape(items[-1].defect, strategy, depth, step="2 reference relaxations")
        campaigns[-1] = (realisation, [*items[:-1], last])
    return a_study(campaigns, folder=folder, strategy=strategy, energies=[-0.1 * number for number in
                                                                         range(len(campaigns))])  # fmt: skip


def without(study: AlloyOverview, *names: str) -> AlloyOverview:
    """The study before some of its supercells were begun."""
    notes = [f"{item.name} ({item.composition}) has not been begun." for item in study.study.supercells
             if item.name in names]  # fmt: skip
    kept = {name: campaign for name, campaign in study.campaigns.items() if name not in names}
    return replace(study, campaigns=kept, notes=tuple(notes))
