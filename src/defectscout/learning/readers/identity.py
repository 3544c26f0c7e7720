"""Which defect of which host a frame is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ase import Atoms

from defectscout.learning.frames import BULK, DefectId
from defectscout.learning.readers.defaults import SourceDefaults
from defectscout.learning.readers.names import Said, change_of

METHOD_REMEDY = (
    "it does not say which method gave its energies. Say so with --method, with the same name for everything whose "
    "energies are on one scale, as in --method HSE06"
)


def identify(
    said: Said, atoms: Atoms, defaults: SourceDefaults, bulk_nearby: Callable[[], str | None]
) -> DefectId | str:
    """The defect that a frame is of, or why that is not known.

    The host is what the source says, else the default, else worked out from composition and
    name of the defect, else that of a bulk calculation beside it.

    Args:
        said: what the source says.
        atoms: the frame.
        defaults: what to take where it says nothing; the default method wins.
        bulk_nearby: the host's formula from a bulk calculation in the same tree, or None.
    """
    method = defaults.method or said.method
    if not method:
        return METHOD_REMEDY
    defect = said.defect if said.defect is not None else defaults.defect
    if defect is None:
        return (
            "neither its content nor its folder names a defect (such as v_Cd_0, or bulk). Rename the folder, or give "
            "--defect, --charge and --host"
        )
    if defect == BULK or defect.startswith(f"{BULK}_"):
        host = said.host or defaults.host
        return DefectId(reduced(host) if host else atoms_formula(atoms), BULK, 0, method)
    charge = said.charge if said.charge is not None else defaults.charge
    if charge is None:
        return (
            f"the charge of {defect} is not known: neither content nor folder says it. Name the folder as in "
            f"{defect}_0, or give --charge"
        )
    host = said.host or defaults.host
    formula = reduced(host) if host else host_without(defect, atoms) or bulk_nearby()
    if formula is None:
        return (
            f"the host of {defect} is not known: its name is none of a single point defect, so that the host does not "
            "follow from the composition. Give --host"
        )
    return DefectId(formula, defect, charge, method)


def host_without(defect: str, atoms: Atoms) -> str | None:
    """Reduced formula of the host, from composition and name of the defect; None if the name is no help."""
    counts = Counter(atoms.get_chemical_symbols())
    change = change_of(defect, counts)
    if change is None:
        return None
    if change.added is not None:
        counts[change.added] -= 1
    if change.removed is not None:
        counts[change.removed] += 1
    if min(counts.values()) < 0 or not +counts:
        return None
    return reduced_counts(+counts)


def atoms_formula(atoms: Atoms) -> str:
    """Reduced formula of a configuration, with pymatgen's order of elements."""
    return reduced_counts(Counter(atoms.get_chemical_symbols()))


def reduced(formula: str) -> str:
    """Reduced formula, with pymatgen's order of elements: `CdTe` for `Cd32Te32`; as given if it is no formula."""
    from pymatgen.core import Composition

    try:
        return str(Composition(formula).reduced_formula)
    except ValueError:
        return formula


def reduced_counts(counts: Counter[str]) -> str:
    """Reduced formula of a composition, with pymatgen's order of elements."""
    from pymatgen.core import Composition

    return str(Composition(dict(counts)).reduced_formula)
