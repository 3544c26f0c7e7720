"""Symmetry-inequivalent point defects of a host, by doped."""

from __future__ import annotations

import json
import pickle
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from defectscout.core.defect import Defect, DefectKind, Host
from defectscout.core.errors import SupercellError
from defectscout.core.frames import FloatArray
from defectscout.core.progress import Progress, SilentProgress
from defectscout.core.quiet import quiet
from defectscout.defects.convert import (
    in_charge_state,
    kind_of,
    put_into_host,
    site_symmetry,
    to_defect,
)
from defectscout.defects.extrinsic import carry_given_state, check_extrinsic, check_extrinsic_selected
from defectscout.defects.oxidation import assign_oxidation_states
from defectscout.defects.selection import Candidate, interstitial_elements, select
from defectscout.defects.settings import DefectSettings
from defectscout.hosts.supercell import primitive_sites

if TYPE_CHECKING:
    from doped.core import DefectEntry
    from doped.generation import DefectsGenerator
    from pymatgen.core import Structure

_SYMPREC = 0.01
"""Å; the host is symmetrised, so that the tolerance decides nothing."""

_RUNS_KEPT = 16
"""Runs of doped that are remembered, of some 0.3 MB each for a supercell of 50 atoms."""


def generate_defects(host: Host, settings: DefectSettings, progress: Progress | None = None) -> tuple[Defect, ...]:
    """The defects that the settings select, each in each of its charge states.

    doped (DOI 10.21105/joss.06433) finds the inequivalent sites, names them and guesses
    charge states; every defect is then made in `host.supercell` itself. Interstitials are
    made only if a pattern may select them: they take longest.

    Args:
        host: with the supercell that the defects are made in.
        settings: patterns, charge states, extrinsic elements, oxidation states.
        progress: told the oxidation states that were assigned.

    Returns:
        In doped's order: vacancies, substitutions, interstitials; charges from high to low.

    Raises:
        DefectSelectionError: a pattern selects nothing, extrinsic elements are not
            selected or not extrinsic, or oxidation states are missing.
        SupercellError: doped does not reproduce the host's supercell.
    """
    check_extrinsic({site.specie.symbol for site in host.primitive}, host.formula, settings)
    progress = progress or SilentProgress()
    states = assign_oxidation_states(host.primitive, settings.oxidation_states, _SYMPREC, progress)
    generator = _run_doped(host, states, settings)
    _check_frame(host, generator.bulk_supercell)
    families = _correct_mixed_valence(host, states, _families(generator))
    candidates = [_candidate(host, states, settings, name, family) for name, family in families.items()]
    chosen = select(candidates, settings.select)
    names = {name for name, _ in chosen}
    check_extrinsic_selected(settings, any(c.is_extrinsic for c in candidates if c.name in names))
    defects: list[Defect] = []
    symmetry: dict[str, str] = {}
    for name, charge in chosen:
        family = families[name]
        neutral = next(iter(family.values()))
        if name not in symmetry:
            symmetry[name] = site_symmetry(neutral, _SYMPREC)
            carry_given_state(neutral, settings)
        entry = in_charge_state(neutral, name, charge)
        put_into_host(entry, host)
        defects.append(to_defect(entry, name, symmetry[name]))
    return tuple(defects)


def _run_doped(host: Host, states: tuple[int, ...], settings: DefectSettings) -> DefectsGenerator:
    decorated = host.supercell.copy()
    decorated.add_oxidation_state_by_element(_element_states(host, states))
    elements = [*dict.fromkeys(site.specie.symbol for site in host.primitive), *settings.extrinsic]
    inserted = interstitial_elements(settings.select, elements)
    run = _pickled_run(decorated.to_json(), settings.extrinsic, tuple(inserted))
    return pickle.loads(run)


@lru_cache(maxsize=_RUNS_KEPT)
def _pickled_run(supercell: str, extrinsic: tuple[str, ...], inserted: tuple[str, ...]) -> bytes:
    """What doped makes of a supercell (JSON), pickled, so that each caller has a copy that it may change.

    A search asks for it twice where its host need not be relaxed: to check the input, and to begin.
    """
    from doped.generation import DefectsGenerator
    from monty.json import MontyDecoder

    with quiet():
        generator = DefectsGenerator(
            json.loads(supercell, cls=MontyDecoder),
            extrinsic=list(extrinsic),
            generate_supercell=False,
            interstitial_gen_kwargs={} if inserted else False,
            processes=1,
            interstitial_elements=list(inserted),
        )
    return pickle.dumps(generator)


def _element_states(host: Host, states: tuple[int, ...]) -> dict[str, int]:
    """One whole-numbered state for each element: doped does not take a supercell in which an element has two."""
    symbols = [site.specie.symbol for site in host.primitive]
    return {
        element: round(
            float(np.mean([state for symbol, state in zip(symbols, states, strict=True) if symbol == element]))
        )
        for element in dict.fromkeys(symbols)
    }


def _correct_mixed_valence(
    host: Host, states: tuple[int, ...], families: dict[str, dict[int, DefectEntry]]
) -> dict[str, dict[int, DefectEntry]]:
    """Use the oxidation state of the very site where an element has several of them."""
    from doped.generation import guess_defect_charge_states

    means = _element_states(host, states)
    if all(means[site.specie.symbol] == state for site, state in zip(host.primitive, states, strict=True)):
        return families
    owners = primitive_sites(host)
    corrected: dict[str, dict[int, DefectEntry]] = {}
    for name, family in families.items():
        entry = next(iter(family.values()))
        corrected[name] = family
        cell = entry.defect.structure
        places = host.supercell.lattice.get_fractional_coords(cell.cart_coords)
        cell.add_oxidation_state_by_site([states[owners[_nearest(place, host)]] for place in places])
        if kind_of(entry) is not DefectKind.INTERSTITIAL:
            index = _nearest(entry.sc_defect_frac_coords, host)
            difference = means[host.supercell[index].specie.symbol] - states[owners[index]]
            entry.defect.oxi_state += difference
            if difference:
                with quiet():
                    corrected[name] = dict.fromkeys(guess_defect_charge_states(entry.defect), entry)
    return corrected


def _check_frame(host: Host, bulk: Structure) -> None:
    """doped promises an equivalent supercell, not the same one; its sites are used, so it must be the same."""
    same = [site.specie.symbol for site in bulk] == [site.specie.symbol for site in host.supercell]
    if same:
        difference = bulk.frac_coords - host.supercell.frac_coords
        difference -= np.round(difference)
        shift = np.abs(difference @ host.supercell.lattice.matrix).max()
        same = shift < 0.01 and np.allclose(bulk.lattice.matrix, host.supercell.lattice.matrix, atol=0.01)
    if not same:
        raise SupercellError(
            f"{host.source}: doped describes the supercell of {host.formula} in another frame than it was given. "
            "Give the host as its conventional or primitive cell in the standard setting."
        )


def _families(generator: DefectsGenerator) -> dict[str, dict[int, DefectEntry]]:
    """doped's entries by name without charge, and charge."""
    families: dict[str, dict[int, DefectEntry]] = {}
    for label, entry in generator.defect_entries.items():
        families.setdefault(label.rsplit("_", 1)[0], {})[int(entry.charge_state)] = entry
    return families


def _candidate(
    host: Host,
    states: tuple[int, ...],
    settings: DefectSettings,
    name: str,
    family: dict[int, DefectEntry],
) -> Candidate:
    entry = next(iter(family.values()))
    kind = kind_of(entry)
    own = [site.specie.symbol for site in host.primitive]
    replaced = _replaced_symbol(entry, host)
    of_element = [state for symbol, state in zip(own, states, strict=True) if symbol == replaced]
    return Candidate(
        name=name,
        kind=kind,
        site_state=float(np.mean(of_element)) if of_element else 0.0,
        is_extrinsic=entry.defect.site.specie.symbol not in own,
        charges=settings.charges if settings.charges is not None else tuple(family),
    )


def _replaced_symbol(entry: DefectEntry, host: Host) -> str | None:
    """Element of the host whose site the defect takes; None for interstitials."""
    if kind_of(entry) is DefectKind.INTERSTITIAL:
        return None
    return str(host.supercell[_nearest(entry.sc_defect_frac_coords, host)].specie.symbol)


def _nearest(place: FloatArray, host: Host) -> int:
    """Index of the supercell's atom nearest to fractional coordinates `place`, shape (3,)."""
    difference = host.supercell.frac_coords - np.asarray(place)
    difference -= np.round(difference)
    return int(np.linalg.norm(difference @ host.supercell.lattice.matrix, axis=1).argmin())
