"""Defects at given atoms of the host's supercell, for hosts in which symmetry leaves no two sites alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from defectscout.core.defect import Defect, DefectKind, Host
from defectscout.core.errors import DefectSelectionError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.core.quiet import quiet
from defectscout.defects.convert import in_charge_state, put_into_host, site_symmetry, to_defect
from defectscout.defects.extrinsic import carry_given_state, check_extrinsic
from defectscout.defects.oxidation import assign_element_states
from defectscout.defects.selection import Candidate, DefectGroup, select
from defectscout.defects.settings import DefectSettings, DefectSite

if TYPE_CHECKING:
    from doped.core import DefectEntry
    from pymatgen.core import Structure

_SYMPREC: Final = 0.01
"""Å."""

_INTERSTITIAL: Final = re.compile(rf"(?i:{DefectGroup.INTERSTITIALS})|[A-Z][a-z]?_i(_.*)?")


@dataclass(frozen=True, slots=True, eq=False)
class _Sites:
    """A host with oxidation states, and what can be made at its sites.

    Attributes:
        decorated: supercell with oxidation states.
        states: of its atoms.
        made: site and element brought in (None for a vacancy) of each defect, by name.
    """

    decorated: Structure
    states: tuple[int, ...]
    made: Mapping[str, tuple[DefectSite, str | None]]


def defects_at_sites(host: Host, settings: DefectSettings, progress: Progress) -> tuple[Defect, ...]:
    """The selected defects at the atoms that `settings.sites` names.

    On each of them: its vacancy, and its substitution by extrinsic elements and by the host's other ones, but for
    those that share such sites in the alloy. Names are
    doped's with the site's behind them: `v_Cd_Te3Se`, `As_Te_Cd4`. doped is asked for charge states only, not for
    sites: it would make every defect of the supercell. Every element has one oxidation state. There are no
    interstitials: they belong to no atom of the host.

    Args:
        host: whose supercell is its own primitive cell.
        settings: sites, patterns, charge states, extrinsic elements, oxidation states.
        progress: told the oxidation states that were assigned.

    Returns:
        In the order of the sites; charges from high to low.

    Raises:
        DefectSelectionError: a pattern selects nothing, an atom does not exist, two sites would give a defect the
            same name, or oxidation states or extrinsic elements do not fit the host.
    """
    sites = _sites(host, settings, progress)
    chosen = select(_candidates(sites, settings), settings.select)
    if DefectGroup.ALL in (pattern.lower() for pattern in settings.select):
        progress.warn("Interstitials are not among all defects: they are not made at given sites.")
    defects: list[Defect] = []
    neutral: dict[str, tuple[DefectEntry, str]] = {}
    for name, charge in chosen:
        if name not in neutral:
            entry = _entry(sites, name, settings)
            neutral[name] = entry, site_symmetry(entry, _SYMPREC)
        entry, symmetry = neutral[name]
        charged = in_charge_state(entry, name, charge)
        put_into_host(charged, host)
        defects.append(to_defect(charged, name, symmetry))
    return tuple(defects)


def selecting_patterns(host: Host, settings: DefectSettings) -> tuple[str, ...]:
    """Those of the settings' patterns that select a defect at one of the sites; none, if none does.

    Raises:
        DefectSelectionError: as `defects_at_sites`, but for patterns that select nothing.
    """
    candidates = _candidates(_sites(host, settings, SilentProgress()), settings)
    return tuple(pattern for pattern in settings.select if _selects(candidates, pattern))


def _selects(candidates: list[Candidate], pattern: str) -> bool:
    try:
        select(candidates, [pattern])
    except DefectSelectionError:
        return False
    return True


def _sites(host: Host, settings: DefectSettings, progress: Progress) -> _Sites:
    if len(host.primitive) != len(host.supercell):
        raise DefectSelectionError(
            f"The setting defects.sites names atoms of a supercell that is given, and the one of {host.formula} is "
            "made of its primitive cell. Add the setting supercell.as_given, or leave defects.sites out."
        )
    count = len(host.supercell)
    for site in settings.sites:
        if site.atom >= count:
            raise DefectSelectionError(
                f"The setting defects.sites names atom {site.atom} (counted from 0), and the supercell of "
                f"{host.formula} has {count}. Correct it, or leave the setting out to have doped find the sites."
            )
    if unmade := [pattern for pattern in settings.select if _INTERSTITIAL.fullmatch(pattern)]:
        raise DefectSelectionError(
            f"The pattern '{unmade[0]}' asks for interstitials, which are not made at given sites (defects.sites, as "
            "in an alloy's supercells): they belong to no atom of the host. Select vacancies and substitutions only."
        )
    check_extrinsic({site.specie.symbol for site in host.supercell}, host.formula, settings)
    states = assign_element_states(host.supercell, settings.oxidation_states, progress)
    decorated = host.supercell.copy()
    decorated.add_oxidation_state_by_site(list(states))
    return _Sites(decorated, states, _made(host, settings))


def _made(host: Host, settings: DefectSettings) -> dict[str, tuple[DefectSite, str | None]]:
    own = tuple(dict.fromkeys(atom.specie.symbol for atom in host.supercell))
    made: dict[str, tuple[DefectSite, str | None]] = {}
    for site in settings.sites:
        element = host.supercell[site.atom].specie.symbol
        others = [symbol for symbol in (*own, *settings.extrinsic) if symbol != element and symbol not in site.alike]
        for symbol in (None, *others):
            name = f"{symbol or 'v'}_{element}_{site.name}"
            if name in made:
                raise DefectSelectionError(
                    f"The setting defects.sites gives two atoms with the name '{site.name}' a defect {name}: the atoms "
                    f"{made[name][0].atom} and {site.atom}. Give each its own name."
                )
            made[name] = site, symbol
    return made


def _candidates(sites: _Sites, settings: DefectSettings) -> list[Candidate]:
    return [
        Candidate(
            name=name,
            kind=DefectKind.VACANCY if symbol is None else DefectKind.SUBSTITUTION,
            site_state=sites.states[site.atom],
            is_extrinsic=symbol in settings.extrinsic,
            charges=settings.charges if settings.charges is not None else _guessed(_doped(sites, name)),
        )
        for name, (site, symbol) in sites.made.items()
    ]


def _entry(sites: _Sites, name: str, settings: DefectSettings) -> DefectEntry:
    """doped's entry of the neutral defect, its supercells still to be put in."""
    from doped.generation import get_defect_entry_from_defect

    site, _ = sites.made[name]
    with quiet():
        entry = get_defect_entry_from_defect(
            _doped(sites, name),
            sites.decorated,
            charge_state=0,
            sc_defect_frac_coords=sites.decorated[site.atom].frac_coords,
        )
    carry_given_state(entry, settings)
    return entry


def _doped(sites: _Sites, name: str) -> Any:
    from doped.core import Substitution, Vacancy
    from pymatgen.core import PeriodicSite

    site, symbol = sites.made[name]
    place = sites.decorated[site.atom]
    with quiet():
        if symbol is None:
            return Vacancy(sites.decorated, place, multiplicity=site.count)
        brought = PeriodicSite(symbol, place.frac_coords, place.lattice)
        return Substitution(sites.decorated, brought, multiplicity=site.count)


def _guessed(defect: Any) -> tuple[int, ...]:
    """doped's guesses of the charge states."""
    from doped.generation import guess_defect_charge_states

    with quiet():
        return tuple(guess_defect_charge_states(defect))
