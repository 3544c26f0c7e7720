"""One example of each reconstruction motif, before and after, seen from the side (paper, fig. S2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.geometry import find_mic
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from defectscout.analysis.motifs import MotifGroup, NamedMinimum
from defectscout.core.defect import Bond, Defect, DefectKind
from defectscout.core.errors import NothingFoundError
from defectscout.core.frames import FloatArray
from defectscout.minima.bonds import bond_limit
from defectscout.minima.site import track_site
from defectscout.reporting.figure_style import new_figure
from defectscout.reporting.figures.style import SMALL, Written, formula_text, name_text, write
from defectscout.reporting.table import Cell, Column, Table
from defectscout.workflow.overview import Overview

SHELL: Final = 1.25
"""Atoms up to this many times the distance of the nearest one are neighbours of the site."""

_TILT: Final = (0.17, 0.26)
"""Radians about both axes of the page, so that atoms behind each other are seen."""

_AMOUNT: Final = re.compile(r"\b[A-Z][a-z]?\d+")
_NEW: Final = "#D55E00"
_PAD: Final = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
_COVERS: Final = 0.9
"""An atom nearer to a point of a bond than this, in the plane of the page, hides it, Å."""

_ROOM: Final = 1.05
"""Of a label, on the scale of `_label_place`: enough beside a ball."""

_BALL: Final = 0.42
"""Radius of a ball in covalent radii."""


@dataclass(frozen=True, slots=True, eq=False)
class MotifExample:
    """A minimum that has a motif.

    Attributes:
        named: motif, name, host and defect.
        defect: with the unperturbed structure.
        atoms: the minimum's structure.
    """

    named: NamedMinimum
    defect: Defect
    atoms: Atoms


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Atoms around the site, relative to it, Å: shape (n, 3), the third coordinate towards the viewer."""

    title: str
    indices: tuple[int, ...]
    symbols: tuple[str, ...]
    numbers: tuple[int, ...]
    positions: FloatArray
    bonds: tuple[tuple[int, int], ...]
    new: tuple[tuple[int, int, float], ...]


def motif_examples(groups: Sequence[MotifGroup], overviews: Sequence[Overview]) -> tuple[MotifExample, ...]:
    """The first member of each motif: a ground state where there is one.

    Args:
        groups: motifs of the campaigns.
        overviews: the campaigns.
    """
    found = []
    for group in groups:
        example = next((item for member in group.members if (item := _example(member, overviews))), None)
        if example is not None:
            found.append(example)
    return tuple(found)


def draw_motif_examples(examples: Sequence[MotifExample], path: Path) -> Written:
    """Draw each example as balls and sticks, unperturbed and reconstructed, new bonds thick.

    Neighbours of the site and atoms with new bonds are drawn, and what is bonded to these.

    Both are seen from the same direction: the one from which the new bonds are longest.

    Args:
        examples: one for each motif.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files; the third holds the positions of the atoms that are drawn.

    Raises:
        NothingFoundError: if there is no example.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    if not examples:
        raise NothingFoundError("There is no motif to draw an example of: the reference has found no minimum yet.")
    sides = [_sides(example) for example in examples]
    columns = min(2, len(examples))
    rows = -(-len(examples) // columns)
    with new_figure(4.8 * columns, 2.75 * rows + 0.3, rows, 2 * columns) as (figure, axes):
        flat = list(axes.flat)
        for axis in flat:
            axis.set_axis_off()
        for number, (example, pair) in enumerate(zip(examples, sides, strict=True)):
            reach = max(float(np.abs(side.positions[:, :2]).max()) for side in pair) + 0.8
            for axis, side in zip(flat[2 * number : 2 * number + 2], pair, strict=True):
                _draw(axis, side, example.defect.kind is DefectKind.VACANCY)
                axis.set_xlim(-reach, reach)
                axis.set_ylim(-reach, reach)
                axis.set_aspect("equal")
            flat[2 * number].set_title(
                f"{name_text(example.named.host, example.named.defect)}\nunperturbed", loc="left"
            )
            flat[2 * number + 1].set_title(
                _AMOUNT.sub(lambda match: formula_text(match[0]), example.named.name), loc="left"
            )
        return write(figure, path, _table(examples, sides))


def _example(member: NamedMinimum, overviews: Sequence[Overview]) -> MotifExample | None:
    for overview in overviews:
        item = overview.defects.get(member.defect) if overview.formula == member.host else None
        for ranked in item.result.minima if item is not None else ():
            if ranked.rank == member.rank and ranked.minimum.new_bonds == member.bonds:
                assert item is not None
                return MotifExample(member, item.defect, ranked.minimum.atoms)
    return None


def _sides(example: MotifExample) -> tuple[_Side, _Side]:
    before, after = (_around(example.defect, atoms) for atoms in (example.defect.atoms, example.atoms))
    distances = np.linalg.norm(before, axis=1)
    # An impurity or an interstitial lies on the site itself.
    near = distances < SHELL * distances[distances > 0.5].min()
    near[[atom for bond in example.named.bonds for atom in bond.atoms]] = True
    shown = np.flatnonzero(near | _bonded_to(near, example.defect.atoms) | _bonded_to(near, example.atoms))
    view = _view(after, example.named.bonds, shown)
    return (
        _side("unperturbed", example.defect.atoms, before @ view, shown, ()),
        _side("reconstructed", example.atoms, after @ view, shown, example.named.bonds),
    )


def _bonded_to(chosen: NDArray[np.bool_], atoms: Atoms) -> NDArray[np.bool_]:
    """Which atoms have a bond to one of the chosen, shape (n,)."""
    first, second = neighbor_list("ij", atoms, _bond_limits(atoms))
    found = np.zeros(len(atoms), dtype=bool)
    found[second[chosen[first]]] = True
    return found


def _bond_limits(atoms: Atoms) -> dict[tuple[int, int], float]:
    elements = sorted({int(number) for number in atoms.numbers})
    return {(a, b): bond_limit(a, b) for a in elements for b in elements}


def _around(defect: Defect, atoms: Atoms) -> FloatArray:
    """Positions relative to the site, each atom at its nearest image, shape (n, 3), Å."""
    vectors, _ = find_mic(atoms.positions - track_site(defect, atoms), atoms.cell, pbc=True)
    return np.asarray(vectors, dtype=float)


def _view(positions: FloatArray, bonds: Sequence[Bond], shown: Any) -> FloatArray:
    """Rotation, shape (3, 3), columns: right, up, towards the viewer."""
    spread = 1e-3 * positions[shown].T @ positions[shown]
    for bond in bonds:
        first, second = (positions[atom] for atom in bond.atoms)
        along, middle = second - first, (first + second) / 2
        spread += np.outer(along, along) + 0.02 * np.outer(middle, middle)
    if not bonds:
        axes = np.eye(3)
    else:
        _, vectors = np.linalg.eigh(spread)
        axes = vectors[:, ::-1].copy()
        for column in range(3):  # eigenvectors come with any sign
            largest = int(np.argmax(np.abs(axes[:, column])))
            axes[:, column] *= np.sign(axes[largest, column])
        axes[:, 2] *= np.sign(np.linalg.det(axes))
    (cos_x, cos_y), (sin_x, sin_y) = np.cos(_TILT), np.sin(_TILT)
    about_x = np.array([[1, 0, 0], [0, cos_x, -sin_x], [0, sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    front = np.asarray(axes @ about_x @ about_y, dtype=float)
    behind = front * (-1, 1, -1)
    return min((front, behind), key=lambda view: _hidden((positions @ view)[shown], positions @ view, bonds))


def _hidden(shown: FloatArray, seen: FloatArray, bonds: Sequence[Bond]) -> int:
    """How many atoms lie in front of a new bond."""
    count = 0
    for bond in bonds:
        first, second = (seen[atom] for atom in bond.atoms)
        for share in (0.0, 0.5, 1.0):
            point = (1 - share) * first + share * second
            near = np.linalg.norm(shown[:, :2] - point[:2], axis=1) < _COVERS
            count += int((near & (shown[:, 2] > point[2] + 0.5)).sum())
    return count


def _side(title: str, atoms: Atoms, positions: FloatArray, shown: Any, bonds: Sequence[Bond]) -> _Side:
    place = {int(index): number for number, index in enumerate(shown)}
    new = tuple((place[bond.atoms[0]], place[bond.atoms[1]], bond.length) for bond in bonds)
    drawn = {(first, second) for first, second, _ in new}
    ordinary = [
        (place[i], place[j])
        for i, j in _bonded(atoms, positions, [int(index) for index in shown])
        if (place[i], place[j]) not in drawn
    ]
    return _Side(
        title=title,
        indices=tuple(int(index) for index in shown),
        symbols=tuple(str(atoms.symbols[index]) for index in shown),
        numbers=tuple(int(atoms.numbers[index]) for index in shown),
        positions=positions[shown],
        bonds=tuple(ordinary),
        new=new,
    )


def _bonded(atoms: Atoms, positions: FloatArray, shown: Sequence[int]) -> list[tuple[int, int]]:
    """Bonds between atoms at the images at which they are drawn."""
    free = Atoms(atoms.numbers[shown], positions=positions[shown])
    pairs = zip(*neighbor_list("ij", free, _bond_limits(free)), strict=True)
    return [(shown[int(i)], shown[int(j)]) for i, j in pairs if i < j]


def _draw(axis: Any, side: _Side, vacant: bool) -> None:
    from matplotlib.patches import Circle

    depths = side.positions[:, 2]
    low, high = float(depths.min()), float(depths.max())
    fog = 0.65 * (high - depths) / max(high - low, 1e-6)
    for first, second in side.bonds:
        behind = (fog[first] + fog[second]) / 2
        _stick(axis, side, first, second, color=str(0.35 + 0.45 * behind), linewidth=1.6)
    labels: list[tuple[float, float]] = []
    for first, second, length in side.new:
        _stick(axis, side, first, second, color="black", linewidth=6.0)
        _stick(axis, side, first, second, color=_NEW, linewidth=4.2, in_front=0.01)
        labels.append(_label_place(side, first, second, labels))
        axis.annotate(f"{length:.2f} Å", labels[-1], ha="center", va="center", fontsize=SMALL, zorder=500, bbox=_PAD)
    for number, (symbol, element) in enumerate(zip(side.symbols, side.numbers, strict=True)):
        face = _mixed(jmol_colors[element], float(fog[number]))
        edge = str(0.6 * float(fog[number]))
        place, order = (
            (float(side.positions[number, 0]), float(side.positions[number, 1])),
            100 + 10 * float(depths[number]),
        )
        radius = _BALL * covalent_radii[element]
        axis.add_patch(Circle(place, radius, facecolor=face, edgecolor=edge, linewidth=0.8, zorder=order))
        dark = float(np.dot(face, (0.299, 0.587, 0.114))) < 0.5
        axis.annotate(symbol, place, ha="center", va="center", fontsize=SMALL, zorder=order + 0.1,
                      color="white" if dark else edge)  # fmt: skip
    if vacant:
        axis.add_patch(Circle((0, 0), 0.5, fill=False, edgecolor="black", linestyle="--", linewidth=0.9, zorder=100))


def _label_place(side: _Side, first: int, second: int, taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Beside the middle of a bond, where atoms and other labels are farthest."""
    ends = side.positions[[first, second], :2]
    along = ends[1] - ends[0]
    across = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
    middles = [side.positions[[i, j], :2].mean(axis=0) for i, j, _ in side.new]
    others = np.array([*side.positions[:, :2], *middles, *taken])
    places = [
        ends.mean(axis=0) + sign * step * across + shift * along
        for step in (0.8, 1.1, 1.4, 1.7)
        for sign in (1, -1)
        for shift in (0.0, -0.3, 0.3)
    ]
    # A label is about twice as wide as it is high.
    room = [float((np.abs(others - place) / (1.6, 0.8)).max(axis=1).min()) for place in places]
    best = places[next((number for number, free in enumerate(room) if free >= _ROOM), int(np.argmax(room)))]
    return float(best[0]), float(best[1])


def _stick(axis: Any, side: _Side, first: int, second: int, in_front: float = 0.0, **style: Any) -> None:
    ends = side.positions[[first, second]]
    order = 100 + 10 * float(ends[:, 2].min()) + in_front - 0.2
    axis.plot(ends[:, 0], ends[:, 1], solid_capstyle="round", zorder=order, **style)


def _mixed(colour: FloatArray, fog: float) -> FloatArray:
    """A colour, the paler the farther away."""
    return np.asarray((1 - fog) * np.asarray(colour) + fog, dtype=float)


def _table(examples: Sequence[MotifExample], sides: Sequence[tuple[_Side, _Side]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (example.named.host, example.named.defect, example.named.name, side.title, index, symbol,
         *(float(value) for value in place))
        for example, pair in zip(examples, sides, strict=True)
        for side in pair
        for index, symbol, place in zip(side.indices, side.symbols, side.positions, strict=True)
    ]  # fmt: skip
    coordinates = (
        Column(name, f"{name.replace(' ', '_')}_A", "Å", numeric=True) for name in ("right", "up", "towards viewer")
    )
    names = ("host", "defect", "motif", "structure")
    columns = (*(Column(name, name) for name in names), Column("atom", "atom", digits=0, numeric=True),
               Column("element", "element"), *coordinates)  # fmt: skip
    return Table("motif-examples", "Examples of motifs, atoms relative to the site", columns, tuple(rows))
