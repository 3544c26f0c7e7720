"""Studies of Cd(Te,Se) as `read_alloy` would give them, put together by hand: nothing is relaxed.

bulk = alloy_crystal(13)                       # 32 Cd, 19 Te, 13 Se, at random
site = a_vacancy(bulk, "Te3Se")                # at the first Cd atom with these neighbours
ground = paired(site, "Se", "Te")              # two of its neighbours brought together
study = a_study({1: [searched(site, [(ground, -1.0, ("Dimer",)), (site.atoms, 0.0, ("Unperturbed",))])]})
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from analysis.overviews import Found, brought_together, defect_overview, overview
from defectscout.core.defect import Defect, DefectKind
from defectscout.hosts.substitution import Occupation
from defectscout.minima.bonds import bond_limit
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.alloys.settings import AlloySettings
from defectscout.workflow.alloys.study import SearchedSite, StudiedSupercell, Study
from defectscout.workflow.campaign import Source
from defectscout.workflow.overview import DefectOverview, Overview
from defectscout.workflow.settings import SearchSettings, Strategy, merge
from minima.vacancy_cases import neighbours, vacancy

LENGTHS = {("Se", "Se"): 2.35, ("Se", "Te"): 2.55, ("Te", "Te"): 2.75}
"""Of new bonds, Å."""


def alloy_crystal(selenium: int, seed: int = 0) -> Atoms:
    """CdTe of 64 atoms with so many of its Te atoms replaced at random, on ideal sites."""
    bulk = vacancy().bulk.copy()
    anions = np.flatnonzero(bulk.symbols == "Te")
    bulk.symbols[np.random.default_rng(seed).permutation(anions)[:selenium]] = "Se"
    return bulk


def environment_of(bulk: Atoms, atom: int) -> str:
    """Neighbours of a Cd atom: `Te3Se`."""
    reach = 1.1 * 6.54 * 3**0.5 / 4
    near = np.flatnonzero(bulk.get_distances(atom, range(len(bulk)), mic=True) < reach)
    counts = Counter(str(bulk.symbols[i]) for i in near if i != atom)
    return "".join(f"{s}{counts[s] if counts[s] > 1 else ''}" for s in ("Te", "Se") if counts[s])


def a_vacancy(bulk: Atoms, environment: str, name: str | None = None, charge: int = 0, which: int = 0) -> Defect:
    """The vacancy of one of the Cd atoms with these neighbours.

    Args:
        bulk: pristine supercell.
        environment: such as `Te3Se`.
        name: of the site, behind the defect's; None for the environment.
        charge: of the defect.
        which: of the atoms with this environment.
    """
    sites = [int(i) for i in np.flatnonzero(bulk.symbols == "Cd") if environment_of(bulk, int(i)) == environment]
    atom = sites[which]
    atoms = bulk.copy()
    del atoms[atom]
    site = bulk.get_scaled_positions()[atom]
    label = f"v_Cd_{name or environment}"
    return Defect(label, charge, DefectKind.VACANCY, atoms, bulk, site, 1, "C1", 2 + charge)


def paired(defect: Defect, *kinds: str) -> Atoms:
    """Neighbours of the vacancy brought together: `Te-Te`, `Se-Te`; each atom is used once."""
    free, pairs = neighbours(defect), []
    atoms = defect.atoms
    for kind in kinds:
        first, second = kind.split("-")
        one = next(i for i in free if atoms.symbols[i] == first)
        other = next(i for i in free if atoms.symbols[i] == second and i != one)
        free = [i for i in free if i not in (one, other)]
        pairs.append(((one, other), LENGTHS[first, second]))
    for pair, length in pairs:
        assert length < bond_limit(*(int(defect.atoms.numbers[i]) for i in pair))
        atoms = brought_together(defect, [pair], length, atoms)
    return atoms


def searched(
    defect: Defect, minima: Sequence[Found] = (), strategy: Strategy = "reference-only", **others: object
) -> DefectOverview:
    """What a search of it has found; see `overviews.defect_overview`."""
    return defect_overview(defect, minima, strategy=strategy, **others)  # type: ignore[arg-type]


def supercell_of(bulk: Atoms, realisation: int, defects: Sequence[Defect]) -> StudiedSupercell:
    """What a manifest says of a supercell."""
    counts = Counter(str(symbol) for symbol in bulk.symbols)
    te, se, total = counts["Te"], counts["Se"], counts["Te"] + counts["Se"]
    formula = "".join(f"{symbol}{counts[symbol]}" for symbol in ("Cd", "Te", "Se") if counts[symbol])
    cadmium = [int(i) for i in np.flatnonzero(bulk.symbols == "Cd")]
    environments = [environment_of(bulk, atom) for atom in cadmium]
    sites: dict[str, SearchedSite] = {}
    for defect in defects:
        difference = bulk.get_scaled_positions() - defect.site
        atom = int((np.abs(difference - difference.round()).sum(axis=1)).argmin())
        environment = environment_of(bulk, atom)
        name = defect.name.removeprefix("v_Cd_")
        labels = (*(sites[name].defects if name in sites else ()), defect.label)
        number = environments.count(environment)
        sites[name] = SearchedSite(atom, "Cd", name, environment, number, number / len(cadmium), labels)
    return StudiedSupercell(
        name=f"{formula}-{realisation}",
        formula=formula,
        occupations=(Occupation("Te", (("Te", te / total), ("Se", se / total)), (("Te", te), ("Se", se))),),
        realisation=realisation,
        sites=tuple(sites.values()),
    )


def a_study(
    campaigns: Sequence[tuple[int, Sequence[DefectOverview]]],
    folder: str = "fine",
    strategy: Strategy = "reference-only",
    reference: str = "gfn1-xtb",
    energies: Sequence[float | None] | None = None,
    notes: Sequence[str] = (),
) -> AlloyOverview:
    """A study with a campaign for each item.

    Args:
        campaigns: number of the realisation and what was searched in it; at least one defect each.
        folder: of the study; nothing is there.
        strategy: of all searches.
        reference: their reference.
        energies: of the pristine supercells, eV; None for 0 each.
        notes: of the study.
    """
    settings = merge(SearchSettings(), {"strategy": strategy, "reference": {"name": reference}}, "test")
    supercells, found = [], dict[str, Overview]()
    for number, (realisation, items) in enumerate(campaigns):
        supercell = supercell_of(items[0].defect.bulk, realisation, [item.defect for item in items])
        supercells.append(supercell)
        seen = overview(supercell.formula, items, strategy=strategy, settings=settings, oxidation_states={},
                        folder=Path(folder) / supercell.name)  # fmt: skip
        energy = energies[number] if energies is not None else 0.0
        found[supercell.name] = replace(seen, host=replace(seen.host, energy=energy))
    study = Study(Source("CdTe.cif", ""), AlloySettings(substitute=("Te:Se",)), settings, tuple(supercells))
    return AlloyOverview(Path(folder), study, found, tuple(notes))


def only(*items: DefectOverview, realisation: int = 1) -> Sequence[tuple[int, Sequence[DefectOverview]]]:
    """One supercell."""
    return [(realisation, items)]


def with_campaigns(study: AlloyOverview, campaigns: Mapping[str, Overview]) -> AlloyOverview:
    return replace(study, campaigns=campaigns)
