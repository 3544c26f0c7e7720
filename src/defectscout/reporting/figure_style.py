"""What all figures share: matplotlib without a display, colours, markers, files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from defectscout.core.errors import MissingExtraError, SettingsError

COLOURS: Final = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#8C8C8C")
"""Okabe and Ito's, told apart by colour-blind readers (jfly.uni-koeln.de/color), neighbours differing in lightness."""

MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p")
"""As many as is prime to the number of colours, so that pairs of both repeat late; they tell data apart in grey."""

SUFFIXES: Final = (".png", ".svg", ".pdf")

_STYLE: Final = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.dpi": 200,
    "svg.hashsalt": "defectscout",
}


@contextmanager
def new_figure(width: float, height: float, rows: int, columns: int) -> Iterator[tuple[Any, Any]]:
    """A figure of width × height inches and its axes, shape (rows, columns).

    It belongs to no window and to no pyplot state.

    Raises:
        MissingExtraError: without matplotlib.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("Drawing figures", "matplotlib", "report") from None
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: Any, path: Path) -> Path:
    """Write a figure in the format of the suffix, without a date in it.

    Raises:
        SettingsError: for another suffix, or where no file can be written.
    """
    if path.suffix not in SUFFIXES:
        raise SettingsError(f"{path} cannot be drawn: the suffix must be one of {', '.join(SUFFIXES)}.")
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata=dates.get(path.suffix, {}), bbox_inches="tight")
    except OSError as error:
        raise SettingsError(f"Cannot write {path}: {error.strerror}.") from None
    return path


def marks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each name, in order."""
    return {
        name: {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
        for index, name in enumerate(dict.fromkeys(names))
    }
