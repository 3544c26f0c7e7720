"""The supercells of a study and the sites in them, before anything is calculated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from defectscout.core.defect import Defect, Host
from defectscout.core.errors import AlloyError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.defects.at_sites import defects_at_sites, selecting_patterns
from defectscout.defects.environments import SiteChoice, SiteEnvironment, site_environments
from defectscout.defects.extrinsic import check_extrinsic_selected
from defectscout.defects.settings import DefectSettings, DefectSite
from defectscout.hosts.arrangement import AlloySupercell, occupations_of, random_alloy
from defectscout.hosts.substitution import Substitution
from defectscout.workflow.alloys.settings import AlloySettings, compositions

if TYPE_CHECKING:
    from pymatgen.core import Structure

_SUBSTITUTION: Final = re.compile(r"(?P<new>[A-Z][a-z]?)_(?P<element>[A-Z][a-z]?)(_.*)?")


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One supercell of the alloy and what is searched in it.

    Attributes:
        name: of its folder, such as `Cd27Te22Se5-1`.
        substitutions: what was asked for.
        alloy: the supercell, on the parent's lattice.
        sites: atoms that defects are made at.
        every_site: atoms that they could be made at.
        patterns: those of the settings that select a defect here.
        environments: of all elements whose sites are searched.
        defects: those that the search will make, at the parent's lattice.
        settings: of the defects, for its search.
    """

    name: str
    substitutions: tuple[Substitution, ...]
    alloy: AlloySupercell
    sites: tuple[DefectSite, ...]
    every_site: tuple[DefectSite, ...]
    patterns: tuple[str, ...]
    environments: tuple[SiteEnvironment, ...]
    defects: tuple[Defect, ...]
    settings: DefectSettings

    @property
    def host(self) -> Host:
        """The supercell as a host, on the parent's lattice."""
        return _host(self.alloy.structure, self.name)


def make_members(parent: Host, alloy: AlloySettings, defects: DefectSettings, progress: Progress) -> tuple[Member, ...]:
    """The supercells that the settings ask for, and the sites in them.

    Args:
        parent: crystal with the supercell whose sites are shared out.
        alloy: compositions, realisations, arrangement, sites.
        defects: which defects; its sites are filled in.
        progress: told compositions that the supercell cannot hold exactly.

    Raises:
        AlloyError: no alloy can be made as asked for.
        DefectSelectionError: a pattern selects nothing in any of the supercells.
    """
    if defects.sites:
        raise AlloyError(
            "The setting defects.sites names atoms of one supercell, and an alloy's sites are chosen in each of its "
            "own. Leave it out; the setting alloy.sites chooses between environments and all sites."
        )
    members: list[Member] = []
    made: dict[tuple[tuple[tuple[str, int], ...], ...], str] = {}
    for substitutions in compositions(alloy):
        held = occupations_of(parent, substitutions)
        _check_exact(parent, held_inexactly=[item.in_words for item in held if not item.is_exact], alloy=alloy)
        for item in held:
            if not item.is_exact:
                progress.warn(f"The nearest composition that the supercell can hold: {item.in_words}.")
        counts = tuple(item.counts for item in held)
        asked = ", ".join(f"{symbol} {share:g}" for item in substitutions for symbol, share in item.fractions)
        if counts in made:
            progress.warn(
                f"{asked} gives the same supercells as {made[counts]}, with {len(parent.supercell)} atoms: they are "
                "made once. A larger supercell tells the two apart (--min-image-distance)."
            )
            continue
        made[counts] = asked
        members += _realisations(parent, substitutions, alloy, defects, progress)
    _check_selection(members, defects)
    for member in members:
        if not member.defects:
            progress.warn(f"{member.name} has no defect that {', '.join(defects.select)} selects: it is left out.")
    return tuple(member for member in members if member.defects)


def _realisations(
    parent: Host,
    substitutions: tuple[Substitution, ...],
    alloy: AlloySettings,
    defects: DefectSettings,
    progress: Progress,
) -> list[Member]:
    """The supercells of one composition, each arrangement once."""
    members: list[Member] = []
    arrangements: dict[tuple[str, ...], int] = {}
    for realisation in range(1, alloy.realisations + 1):
        supercell = _arranged(parent, substitutions, realisation, alloy)
        # Atoms are grouped by element: the arrangement is in their places.
        places = supercell.structure.frac_coords
        arrangement = tuple(
            f"{site.specie.symbol} {place.round(6).tolist()}"
            for site, place in zip(supercell.structure, places, strict=True)
        )
        if arrangement in arrangements:
            progress.warn(
                f"Realisation {realisation} of {_formula(supercell.structure)} is the same supercell as realisation "
                f"{arrangements[arrangement]}: it is left out."
            )
            continue
        arrangements[arrangement] = realisation
        members.append(_member(parent, substitutions, supercell, alloy, defects))
    return members


def _check_selection(members: Sequence[Member], defects: DefectSettings) -> None:
    """Every pattern must select something in one of the supercells, and so must the extrinsic elements."""
    for pattern in defects.select:
        _check_no_exchange(pattern, members[0].alloy)
        if not any(pattern in member.patterns for member in members):
            first = members[0]  # its message says what there is
            given = first.settings.model_copy(update={"sites": first.every_site, "select": (pattern,)})
            defects_at_sites(first.host, given, SilentProgress())
    made = [defect for member in members for defect in member.defects]
    check_extrinsic_selected(defects, any(defect.name.split("_")[0] in defects.extrinsic for defect in made))


def _check_no_exchange(pattern: str, supercell: AlloySupercell) -> None:
    """`Se_Te` in an alloy of both is another arrangement of the alloy, not a defect."""
    match = _SUBSTITUTION.fullmatch(pattern)
    if match and match["new"] in _sharing(match["element"], supercell):
        raise AlloyError(
            f"The pattern '{pattern}' puts {match['new']} on a site of {match['element']}, and the two share their "
            "sites in this alloy: that is another arrangement of it, not a defect. Name another defect, or leave "
            f"{match['new']} out of --substitute and search it in the pure crystal (--extrinsic {match['new']})."
        )


def _check_exact(parent: Host, held_inexactly: Sequence[str], alloy: AlloySettings) -> None:
    if alloy.exact and held_inexactly:
        raise AlloyError(
            f"The supercell of {len(parent.supercell)} atoms cannot hold the composition exactly. The nearest is: "
            f"{'; '.join(held_inexactly)}. Ask for that one, for a larger supercell (--min-image-distance), or leave "
            "--exact out."
        )


def _member(
    parent: Host,
    substitutions: tuple[Substitution, ...],
    supercell: AlloySupercell,
    alloy: AlloySettings,
    defects: DefectSettings,
) -> Member:
    structure = supercell.structure
    elements = tuple(dict.fromkeys(site.specie.symbol for site in structure))
    environments = tuple(
        environment for element in elements for environment in site_environments(supercell, element, alloy.shells)
    )
    sites = tuple(
        site
        for environment in environments
        for site in defect_sites(environment, alloy.sites, _sharing(environment.element, supercell))
    )
    host = _host(structure, parent.source)
    given = _of_elements(defects, elements, supercell).model_copy(update={"sites": sites})
    patterns = selecting_patterns(host, given)
    chosen = given.model_copy(update={"select": patterns})
    made = defects_at_sites(host, chosen, SilentProgress()) if patterns else ()
    wanted = {atom_of(defect) for defect in made}
    kept = tuple(site for site in sites if site.atom in wanted)
    searched = {structure[site.atom].specie.symbol for site in kept}
    return Member(
        name=f"{_formula(structure)}-{supercell.realisation}",
        substitutions=substitutions,
        alloy=supercell,
        sites=kept,
        every_site=sites,
        patterns=patterns,
        environments=tuple(item for item in environments if item.element in searched),
        defects=made,
        settings=chosen.model_copy(update={"sites": kept}),
    )


def _of_elements(defects: DefectSettings, elements: Sequence[str], supercell: AlloySupercell) -> DefectSettings:
    """The settings for one composition, which may lack elements of the alloy."""
    if defects.oxidation_states is None:
        return defects
    absent = {symbol for item in supercell.occupations for symbol, _ in item.counts} - set(elements)
    states = {symbol: state for symbol, state in defects.oxidation_states.items() if symbol not in absent}
    return defects.model_copy(update={"oxidation_states": states})


def _formula(structure: Structure) -> str:
    return str(structure.composition.formula.replace(" ", ""))


def _arranged(
    parent: Host, substitutions: tuple[Substitution, ...], realisation: int, alloy: AlloySettings
) -> AlloySupercell:
    if alloy.arrangement == "sqs":
        from defectscout.hosts.quasirandom import quasirandom_alloy

        return quasirandom_alloy(parent, substitutions, realisation, alloy.seed)
    return random_alloy(parent, substitutions, realisation, alloy.seed)


def defect_sites(
    environment: SiteEnvironment, choice: SiteChoice, alike: tuple[str, ...] = ()
) -> tuple[DefectSite, ...]:
    """The atoms of an environment that defects are made at: its first one, or all that differ by symmetry.

    Args:
        environment: sites of one element.
        choice: which of them.
        alike: elements that share the sublattice.
    """
    if choice is SiteChoice.ENVIRONMENTS:
        first = environment.sites[0]
        return (DefectSite(atom=first, name=environment.name, count=len(environment.sites), alike=alike),)
    return tuple(
        DefectSite(atom=atom, name=f"{environment.name}_s{atom}", count=count, alike=alike)
        for atom, count in environment.orbits
    )


def _sharing(element: str, supercell: AlloySupercell) -> tuple[str, ...]:
    """The other elements on an element's sublattice."""
    for item in supercell.occupations:
        symbols = [symbol for symbol, _ in item.counts]
        if element in symbols:
            return tuple(symbol for symbol in symbols if symbol != element)
    return ()


def _host(structure: Structure, source: str) -> Host:
    return Host(structure, structure, np.eye(3), source)


def atom_of(defect: Defect) -> int:
    """Index in the pristine supercell of the atom that a vacancy or substitution removes."""
    difference = defect.bulk.get_scaled_positions() - defect.site
    difference -= difference.round()
    return int((difference**2).sum(axis=1).argmin())
