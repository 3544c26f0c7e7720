"""What makes a CP2K run go on: its restart file, the files that grow, and a few keywords of its input."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from defectscout.references.engines.earlier_runs import move_aside
from defectscout.references.engines.retries import Mended

SMALLEST_MIXING: Final = 0.02

_COMMENT = re.compile(r"i\s*=\s*(\d+)")


def remedy_for_scf(text: str) -> Mended | None:
    """An input whose self-consistent field is safer than before, at the same energy; None if nothing is left to try.

    Conjugate gradients in place of DIIS; with diagonalisation, ever less of the new density.
    """
    minimiser = re.search(r"^( *MINIMIZER +)DIIS *$", text, re.MULTILINE)
    if minimiser is not None:
        changed = text[: minimiser.start()] + f"{minimiser[1]}CG" + text[minimiser.end() :]
        return Mended(changed, "conjugate gradients (MINIMIZER CG) in place of DIIS")
    mixing = re.search(r"^( *ALPHA +)([\d.]+) *$", text, re.MULTILINE)
    if mixing is not None and float(mixing[2]) / 4 >= SMALLEST_MIXING:
        share = f"{float(mixing[2]) / 4:g}"
        changed = text[: mixing.start()] + mixing[1] + share + text[mixing.end() :]
        return Mended(changed, f"a smaller share of the new density (ALPHA {share})")
    return None


def counting_on(text: str, step: int, steps: int) -> str:
    """An input that may take so many ionic steps from `step` on, and counts them from the first run's beginning.

    CP2K takes the counter of GEO_OPT from the restart file, and that of CELL_OPT from the input alone.
    """
    bare = re.sub(r"^ *STEP_START_VAL +\d+ *\n", "", text, flags=re.MULTILINE)
    counter = rf"\g<1>MAX_ITER {step + steps}\n\g<1>STEP_START_VAL {step}"
    return re.sub(r"^( *)MAX_ITER +\d+", counter, bare, count=1, flags=re.MULTILINE)


def ending_after(text: str, seconds: float) -> str:
    """An input whose run ends by itself after so many seconds, or sooner where it says so already."""
    known = re.search(r"^ *WALLTIME +(\S+).*\n", text, re.MULTILINE)
    if known is not None and (":" in known[1] or float(known[1]) <= seconds):
        return text  # in hours, minutes and seconds it is the user's own
    bare = text if known is None else text[: known.start()] + text[known.end() :]
    return re.sub(r"^( *)(RUN_TYPE .*)$", rf"\1\2\n\1WALLTIME {seconds:.0f}", bare, count=1, flags=re.MULTILINE)


def restarting(text: str, project: str) -> str:
    """An input that takes structure, cell and counters from the restart file."""
    if "&EXT_RESTART" in text.upper():
        return text
    return f"{text.rstrip()}\n&EXT_RESTART\n  RESTART_FILE_NAME {project}-1.restart\n&END EXT_RESTART\n"


def step_of_restart(folder: Path, project: str) -> int | None:
    """The last ionic step that the restart file knows; None if there is no restart file."""
    path = folder / f"{project}-1.restart"
    if not path.is_file():
        return None
    found = re.search(r"^ *STEP_START_VAL +(\d+)", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return int(found[1]) if found is not None else 0


def finished_steps(folder: Path, project: str) -> int:
    """Ionic steps whose positions were written."""
    path = folder / f"{project}-pos-1.xyz"
    if not path.is_file():
        return 0
    text = path.read_text(encoding="utf-8", errors="replace")
    return max((int(number) for number in _COMMENT.findall(text)), default=0)


def trim(folder: Path, project: str, step: int) -> tuple[str, ...]:
    """Cut what was written after the step that the run goes on from: it comes again, and steps must not come twice.

    Returns:
        What was cut, one entry for each file.
    """
    cut = []
    for name in (f"{project}-pos-1.xyz", f"{project}-frc-1.xyz", f"{project}-1.cell", f"{project}-1.stress"):
        path = folder / name
        if not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = _blocks_until(lines, step) if name.endswith(".xyz") else _rows_until(lines, step)
        if kept < len(lines):
            path.write_text("".join(lines[:kept]), encoding="utf-8")
            cut.append(f"cut what {name} had after step {step}")
    return tuple(cut)


def set_aside(folder: Path, project: str, outputs: Sequence[Path]) -> None:
    """Move what another calculation has left into a hidden folder, which nothing reads.

    CP2K would append to its trajectories, and start from its wavefunction.
    """
    own = [path for path in folder.iterdir() if path.is_file() and re.match(rf"{re.escape(project)}[-.]", path.name)]
    left = dict.fromkeys([*own, *outputs])
    if not any(path in outputs or "-pos-" in path.name or path.suffix == ".wfn" for path in left):
        return
    move_aside(folder, left)


def _blocks_until(lines: Sequence[str], step: int) -> int:
    """Lines of an XYZ file up to the last whole block of a step not after `step`."""
    at = 0
    while at + 1 < len(lines):
        count = lines[at].strip()
        end = at + 2 + (int(count) if count.isdigit() else 0)
        found = _COMMENT.search(lines[at + 1])
        if not count.isdigit() or found is None or int(found[1]) > step or end > len(lines):
            break
        if not lines[end - 1].endswith("\n"):
            break
        at = end
    return at


def _rows_until(lines: Sequence[str], step: int) -> int:
    """Lines of a file with one row for each step up to `step`; rows cut in the middle do not count."""
    for at, line in enumerate(lines):
        number = line.split()[0] if line.split() else ""
        if line.startswith("#"):
            continue
        if not line.endswith("\n") or not number.isdigit() or int(number) > step:
            return at
    return len(lines)
