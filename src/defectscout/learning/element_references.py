"""One reference energy for each element and method, fitted before training.

A network learns what is left of an energy after one constant for each atom of each
element has been taken off (paper, section IV and table S2). These constants are fitted by
least squares. A data set of one binary host cannot tell its two elements apart, because
all bulk frames have one composition: such directions of composition space are found, told
in notes, and settled in an order that never makes the fit of the bulk frames worse.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from defectscout.core.errors import DatasetError, SettingsError, UnsupportedElementError
from defectscout.learning.settings import TrainSettings

SINGULAR: Final = 1e-7
"""Singular values of atom-normalised compositions below this are zero.

It is absolute: rows are atomic fractions, where one atom more in 10,000 gives 1e-4 and round-off 1e-15.
"""

Matrix = NDArray[np.float64]
_Composition = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ReferenceItem:
    """A training frame as the fit of element references sees it.

    Attributes:
        composition: number of atoms of each element in the cell.
        energy: what the references have to explain, eV for the whole cell: E(method) - E(network) for
            fine-tuning, E(method) from scratch.
        is_bulk: whether it is a frame of a pristine host.
        method: what gave the energy, such as `gfn1-xtb`; energies of two methods are on different scales.
        defect: name and charge that tell apart defects of one composition, such as `v_Cd_-2`; charge
            states have energies on shifted scales, so that the lowest is picked for each.
        total_energy: E(method), eV, by which the lowest frame of a defect is picked; None where `energy` is
            that already. Fine-tuning has to give it: the lowest E(method) - E(network) is the frame on
            which the network errs most, not the most stable one.
    """

    composition: Mapping[str, int]
    energy: float
    is_bulk: bool
    method: str
    defect: str = ""
    total_energy: float | None = None


@dataclass(frozen=True, slots=True)
class ElementReferences:
    """Reference energies.

    Attributes:
        values: method, then symbol, to eV for one atom.
        notes: what was not determined by the data and how it was settled; one sentence or two each.
    """

    values: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...] = ()

    def energy(self, method: str, composition: Mapping[str, int]) -> float:
        """Sum of the references of a cell, eV.

        Raises:
            DatasetError: for a method that was not fitted.
            UnsupportedElementError: for an element that was not fitted.
        """
        if method not in self.values:
            raise DatasetError(
                f"There are no element references for the method '{method}', only for "
                f"{', '.join(sorted(self.values)) or 'none'}. Train on frames of that method too, or leave them out."
            )
        values = self.values[method]
        missing = sorted(symbol for symbol, count in composition.items() if count and symbol not in values)
        if missing:
            raise UnsupportedElementError(
                f"There is no reference energy of {_enumerate(missing)} for the method '{method}': no training frame "
                f"holds it. Add frames with it to the training set, or leave out the frames that hold it."
            )
        return math.fsum(values[symbol] * count for symbol, count in composition.items() if count)


def fit_references(items: Sequence[ReferenceItem], settings: TrainSettings) -> ElementReferences:
    """Fit reference energies, for each method separately.

    `bulk` is least squares on the pristine hosts, where a composition has one energy and atomic
    energies mean something. Directions of composition space that they leave open are settled by
    `settings.undetermined_references`: by least squares on defect frames within the null space of the
    bulk fit, which so stays what it is, and then by minimum norm; or by minimum norm at once.
    `all` is least squares on every frame with minimum norm. `isolated` takes `settings.isolated_atoms`.

    Rows are divided by the number of atoms, and each composition counts once however many frames and
    cells it has, so that a host with many frames does not outvote the others. A bulk composition enters
    with the mean of its frames: they are close to the minimum and their scatter is small and unbiased enough.
    A defect enters the settling of open directions with its lowest frame: its sampling structures start up
    to tens of eV above the minimum, and a mean would put that distortion energy into the references
    of its elements, where the network would have to undo it at just those low energies that rank minima.
    `all` takes means throughout, since it stands for the regression on everything that the paper compares with.

    Args:
        items: training frames only; those of validation and test must not be among them.
        settings: `element_references`, `undetermined_references` and `isolated_atoms` are used.

    Raises:
        DatasetError: no item, a composition without atoms, or an energy that is not finite.
        SettingsError: `isolated` without the energy of an element, or with frames of several methods.
    """
    _check(items)
    methods: dict[str, list[ReferenceItem]] = defaultdict(list)
    for item in items:
        methods[item.method].append(item)
    if settings.element_references == "isolated":
        return _isolated(methods, settings.isolated_atoms)
    values: dict[str, dict[str, float]] = {}
    notes: list[str] = []
    for method in sorted(methods):
        fitted, said = _fit(methods[method], settings)
        values[method] = fitted
        notes.extend(f"Element references, {method}: {note}" for note in said)
    return ElementReferences(values, tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Atom-normalised rows: atomic fractions, shape (n_rows, n_elements), and energies, eV/atom."""

    fractions: Matrix
    energies: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class _Solution:
    """Least-squares solution of minimum norm, and an orthonormal basis (columns) of what is left open."""

    values: Matrix
    null_space: Matrix


def _fit(items: Sequence[ReferenceItem], settings: TrainSettings) -> tuple[dict[str, float], list[str]]:
    elements = sorted({symbol for item in items for symbol, count in item.composition.items() if count})
    bulk = [item for item in items if item.is_bulk]
    defects = [item for item in items if not item.is_bulk]
    notes: list[str] = []

    if settings.element_references == "all":
        solution = _solve(_rows([*_means(bulk).items(), *_means(defects).items()], elements))
        notes += _open_notes(solution.null_space, elements, "all frames", "settled by minimum norm.")
        return _named(solution.values, elements), notes

    if not bulk:
        notes.append(
            "no bulk frames in the training set, so that the references are fitted to the lowest frame of each defect."
        )
        solution = _solve(_rows(_lowest(defects).items(), elements))
        notes += _open_notes(solution.null_space, elements, "defect frames", "settled by minimum norm.")
        return _named(solution.values, elements), notes

    first = _solve(_rows(_means(bulk).items(), elements))
    if settings.undetermined_references == "minimum-norm" or not defects or not first.null_space.shape[1]:
        notes += _open_notes(first.null_space, elements, "bulk frames", "settled by minimum norm.")
        return _named(first.values, elements), notes

    notes += _open_notes(
        first.null_space, elements, "bulk frames", "settled by the lowest frame of each defect as far as these go."
    )
    rows = _rows(_lowest(defects).items(), elements)
    left = rows.energies - rows.fractions @ first.values
    second = _solve(_Rows(rows.fractions @ first.null_space, left))
    still_open = first.null_space @ second.null_space
    notes += _open_notes(still_open, elements, "bulk and defect frames together", "settled by minimum norm.")
    return _named(first.values + first.null_space @ second.values, elements), notes


def _solve(rows: _Rows) -> _Solution:
    n_unknowns = rows.fractions.shape[1]
    left, singular, right = np.linalg.svd(rows.fractions, full_matrices=True)
    rank = int(np.count_nonzero(singular > SINGULAR))
    values = right[:rank].T @ ((left[:, :rank].T @ rows.energies) / singular[:rank])
    return _Solution(values.reshape(n_unknowns), right[rank:].T)


def _reduced(composition: Mapping[str, int]) -> _Composition:
    divisor = math.gcd(*composition.values())
    return tuple(sorted((symbol, count // divisor) for symbol, count in composition.items() if count))


def _per_atom(item: ReferenceItem) -> float:
    return item.energy / sum(item.composition.values())


def _rank_energy(item: ReferenceItem) -> tuple[float, float]:
    """Order by total energy per atom; the second entry makes ties independent of the order of items."""
    total = item.energy if item.total_energy is None else item.total_energy
    return total / sum(item.composition.values()), _per_atom(item)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)


def _means(items: Sequence[ReferenceItem]) -> dict[_Composition, float]:
    """Mean energy of each composition, eV/atom."""
    groups = _grouped(items, lambda item: "")
    return {composition: _mean(map(_per_atom, members)) for (composition, _), members in groups.items()}


def _lowest(items: Sequence[ReferenceItem]) -> dict[_Composition, float]:
    """Energy of the lowest frame of each defect, averaged over the defects of a composition, eV/atom."""
    lowest: dict[_Composition, list[float]] = defaultdict(list)
    for (composition, _), members in _grouped(items, lambda item: item.defect).items():
        lowest[composition].append(_per_atom(min(members, key=_rank_energy)))
    return {composition: _mean(energies) for composition, energies in lowest.items()}


def _grouped(
    items: Sequence[ReferenceItem], label: Callable[[ReferenceItem], str]
) -> dict[tuple[_Composition, str], list[ReferenceItem]]:
    groups: dict[tuple[_Composition, str], list[ReferenceItem]] = defaultdict(list)
    for item in items:
        groups[_reduced(item.composition), label(item)].append(item)
    return groups


def _rows(groups: Iterable[tuple[_Composition, float]], elements: Sequence[str]) -> _Rows:
    ordered = sorted(groups)
    column = {symbol: i for i, symbol in enumerate(elements)}
    fractions = np.zeros((len(ordered), len(elements)))
    for row, (composition, _) in enumerate(ordered):
        n_atoms = sum(count for _, count in composition)
        for symbol, count in composition:
            fractions[row, column[symbol]] = count / n_atoms
    return _Rows(fractions, np.array([energy for _, energy in ordered], dtype=np.float64))


def _named(values: Matrix, elements: Sequence[str]) -> dict[str, float]:
    return {symbol: float(value) for symbol, value in zip(elements, values, strict=True)}


def _open_notes(null_space: Matrix, elements: Sequence[str], of_what: str, settled: str) -> list[str]:
    """One sentence for each set of elements whose references are open together.

    Elements are in one set where the projector onto the null space couples them.
    """
    coupled = np.abs(null_space @ null_space.T) > SINGULAR
    notes = []
    seen: set[int] = set()
    for start in range(len(elements)):
        if start in seen or not coupled[start, start]:
            continue
        group = {start}
        while (grown := {int(j) for i in group for j in np.flatnonzero(coupled[i])}) != group:
            group = grown
        seen |= group
        members = sorted(group)
        names = [elements[i] for i in members]
        n_open = int(np.linalg.matrix_rank(null_space[members], tol=SINGULAR))
        n_known = len(members) - n_open
        if not n_known:
            notes.append(f"{of_what} say nothing of {_enumerate(names)}; {settled}")
            continue
        compositions = "composition" if n_known == 1 else "independent compositions"
        notes.append(
            f"only {n_known} {compositions} for {len(members)} elements: {_enumerate(names)} are not told apart by "
            f"{of_what}; {settled}"
        )
    return notes


def _enumerate(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _isolated(methods: Mapping[str, Sequence[ReferenceItem]], atoms: Mapping[str, float]) -> ElementReferences:
    if len(methods) > 1:
        raise SettingsError(
            f"element_references = isolated needs frames of one method, because isolated_atoms holds energies of one; "
            f"the training set has {', '.join(sorted(methods))}. Train on one method, or set element_references = bulk."
        )
    ((method, items),) = methods.items()
    elements = sorted({symbol for item in items for symbol, count in item.composition.items() if count})
    missing = [symbol for symbol in elements if symbol not in atoms]
    if missing:
        raise SettingsError(
            f"element_references = isolated needs the energy of an isolated atom of {_enumerate(missing)} "
            f"({method}), which isolated_atoms does not hold. Add it in eV, or set element_references = bulk."
        )
    strange = [symbol for symbol in elements if not math.isfinite(atoms[symbol])]
    if strange:
        raise SettingsError(f"isolated_atoms has no finite energy for {_enumerate(strange)}. Give it in eV.")
    return ElementReferences({method: {symbol: atoms[symbol] for symbol in elements}})


def _check(items: Sequence[ReferenceItem]) -> None:
    if not items:
        raise DatasetError(
            "Element references were asked of a training set without frames. Check the split with "
            "`defectscout dataset inspect`, and raise its share for training."
        )
    for item in items:
        counts = item.composition.values()
        energies = [item.energy] if item.total_energy is None else [item.energy, item.total_energy]
        if not sum(counts) or min(counts) < 0:
            raise DatasetError(f"A training frame ({item.method}) has the impossible composition {item.composition}.")
        if not all(map(math.isfinite, energies)):
            raise DatasetError(
                f"A training frame ({item.method}, composition {dict(item.composition)}) has an energy that is not "
                f"a finite number ({energies[0]} eV). Take it out of its source and build the dataset again."
            )
