"""Pictures of defect structures on paper: atoms near the site, new bonds drawn strong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.geometry import find_mic

from defectscout.core.frames import FloatArray
from defectscout.minima.bonds import bond_limit
from defectscout.reporting.figure_style import new_figure
from defectscout.reporting.report.document import Model
from defectscout.reporting.report.drawings import fixed, png

REACH: Final = 5.0
"""Å around the site that a picture shows."""

MOVED: Final = 0.5
"""Å. Atoms that lie farther than this from their places have a thick outline."""

NEW_BOND: Final = "#0072B2"

_NEAREST, _LITTLE = 4, 0.02
"""Atoms nearest to the site, and their say in the direction beside that of a bond."""

_RADIUS: Final = 0.55
"""Of a drawn atom, in covalent radii."""


def pictures(models: Sequence[Model], columns: int, width: float) -> bytes:
    """Structures side by side as a PNG image, seen from one direction.

    Args:
        models: structures of one defect in one frame.
        columns: pictures in a row.
        width: of all, inches.

    Raises:
        MissingExtraError: without matplotlib.
    """
    rows = -(-len(models) // columns)
    side = width / columns
    view = direction(models)
    with new_figure(width, rows * (side + 0.35), rows, columns) as (figure, axes):
        for place, cell in enumerate(axes.flat):
            cell.set_axis_off()
            if place < len(models):
                _draw(cell, models[place], view)
        fixed(figure, left=0.0, right=1.0, bottom=0.0, top=1 - 0.35 / (rows * (side + 0.35)), wspace=0.02, hspace=0.16)
        return png(figure)


def direction(models: Sequence[Model]) -> FloatArray:
    """Axes of the paper (rows, the last one towards the reader), in which new bonds lie as flat as can be.

    What is left open, the places of the atoms nearest to the site decide: they come to lie side by side.
    """
    around = _around(models[0])
    nearest = around[np.argsort(np.linalg.norm(around, axis=1), kind="stable")[:_NEAREST]]
    spread = _LITTLE * nearest.T @ nearest / len(nearest)
    for model in models:
        for bond in model.new_bonds:
            vector = model.atoms.get_distance(*bond.atoms, mic=True, vector=True)
            spread += np.outer(vector, vector)
    _, vectors = np.linalg.eigh(spread)
    axes = vectors.T[::-1]
    axes = np.array([axis * (1.0 if axis[np.abs(axis).argmax()] > 0 else -1.0) for axis in axes])
    if np.linalg.det(axes) < 0:
        axes[2] *= -1
    # A little from the side: atoms behind each other come apart.
    return np.asarray(_turned(0.21, 0.14) @ axes, dtype=float)


def _turned(about_x: float, about_y: float) -> FloatArray:
    cx, sx, cy, sy = np.cos(about_x), np.sin(about_x), np.cos(about_y), np.sin(about_y)
    first = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return np.asarray(first @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]), dtype=float)


def _around(model: Model) -> FloatArray:
    """Positions seen from the site, at their nearest images, Å, shape (n, 3)."""
    return np.asarray(find_mic(model.atoms.positions - model.site, model.atoms.cell, pbc=True)[0], dtype=float)


def _draw(axes: Any, model: Model, view: FloatArray) -> None:
    from matplotlib.patches import Circle

    vectors = _around(model)
    shown = np.flatnonzero(np.linalg.norm(vectors, axis=1) <= REACH)
    paper = vectors @ view.T
    numbers = model.atoms.numbers
    fresh = {frozenset(bond.atoms) for bond in model.new_bonds}
    for first, second in _bonds(model, vectors, shown):
        is_new = frozenset((first, second)) in fresh
        middle = (paper[first, :2] + paper[second, :2]) / 2
        for end in (first, second):  # each half just behind its atom, which hides where it begins
            line = np.array([paper[end, :2], middle])
            axes.plot(*line.T, color=NEW_BOND if is_new else "#9A9A9A", linewidth=5.0 if is_new else 1.4,
                      zorder=paper[end, 2] - 0.01)  # fmt: skip
    for atom in map(int, shown):
        near = 1 - 0.55 * (REACH - paper[atom, 2]) / (2 * REACH)  # what is far away is pale
        colour = 1 - near * (1 - np.array(jmol_colors[numbers[atom]]))
        moved = model.displacements[atom] > MOVED
        centre, radius = (float(paper[atom, 0]), float(paper[atom, 1])), _RADIUS * covalent_radii[numbers[atom]]
        outline = 1.6 if moved else 0.5
        axes.add_patch(
            Circle(centre, radius, facecolor=colour, edgecolor="black", linewidth=outline, zorder=paper[atom, 2])
        )
        axes.text(*paper[atom, :2], model.atoms.symbols[atom], ha="center", va="center", fontsize=5,
                  alpha=near, zorder=paper[atom, 2] + 0.01)  # fmt: skip
    axes.plot(0, 0, marker="+", color="black", markersize=9, zorder=20)
    edge = REACH + 0.8
    axes.set_xlim(-edge, edge)
    axes.set_ylim(-edge, edge)
    axes.set_aspect("equal")
    axes.set_title(_wrapped(model.title), fontsize=8)


def _bonds(model: Model, vectors: FloatArray, shown: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of shown atoms that are bonded as they are drawn; new bonds always."""
    numbers = model.atoms.numbers
    distances = np.linalg.norm(vectors[shown][:, None] - vectors[shown][None], axis=2)
    pairs = [
        (int(shown[i]), int(shown[j]))
        for i, j in zip(*np.triu_indices(len(shown), 1), strict=True)
        if distances[i, j] <= bond_limit(numbers[shown[i]], numbers[shown[j]])
    ]
    known = {frozenset(pair) for pair in pairs}
    return pairs + [bond.atoms for bond in model.new_bonds if frozenset(bond.atoms) not in known]


def _wrapped(title: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(title, 30))
