"""Where a surrogate foresees that a check of the learning loop ends, and where it does: may it be ended on that word?

    OMP_NUM_THREADS=1 python benchmarks/foreseen_ends.py DATA/gfn1-xtb/CdSe_v_Cd_0 --relaxations runs/ \
        --surrogate runs/CdSe-learn-1/learn/v_Cd_0/round-04 --name "quiet 1.3 eV up"

Each strained start of a reference-only search is relaxed with GFN1-xTB as a check of the loop is, and kept in the
folder of relaxations, as by `fall_to_the_minimum.py`. On these the surrogate is asked frame by frame where they end.
The table says how many frames it was believed on, by how much it put the end too high at most, by how much the end lies
below what the margin allows (less than nothing if it held), and after how many force calls the loop would have ended
the check had the lowest minimum of the search been known.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fall_to_the_minimum import Fall, by_fire, by_gaussian_process, is_strained
from result_tables import write

from defectscout.core.errors import DefectscoutError
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.learn.foreseen import ForeseenEnd, Foresight
from defectscout.workflow.learn.settings import LearnSettings

RESULTS = Path(__file__).parent / "results" / "foreseen_ends.csv"


def main() -> None:
    """Read, relax what is missing, foresee, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a reference-only search")
    parser.add_argument("--relaxations", type=Path, required=True, metavar="FOLDER", help="keeps the relaxations")
    parser.add_argument("--surrogate", required=True, help="that foresees")
    parser.add_argument("--name", required=True, help="of the surrogate in the table")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    try:
        surrogate = load_surrogate(SurrogateSettings(name=arguments.surrogate))
        searched = list(by_fire(arguments.source))
    except DefectscoutError as error:
        parser.error(str(error))
    lowest = min(fall.end for fall in searched)
    rows = []
    for fall in searched:
        if is_strained(fall):
            check = by_gaussian_process(fall, arguments.relaxations)
            rows.append(row(check, foreseen(check, surrogate), lowest, arguments.name))
            print(", ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write(arguments.output, rows, ("search", "surrogate", "start"))


def foreseen(check: Fall, surrogate: Surrogate) -> list[ForeseenEnd | None]:
    """What is foreseen at each frame."""
    foresight = Foresight(surrogate, check.charge, RelaxationSettings())
    ends = []
    for frame in check.frames:
        foresight.note(frame)
        ends.append(foresight.end(frame))
    return ends


def row(check: Fall, ends: list[ForeseenEnd | None], lowest: float, name: str) -> dict[str, Any]:
    """One line of the table."""
    believed = [end for end in ends if end is not None]
    highest = lowest + LearnSettings().window
    stopped = next((k for k, end in enumerate(ends, 1) if end is not None and end.lowest > highest), None)
    return {
        "search": check.search,
        "surrogate": name,
        "start": check.start,
        "force_calls": len(check.frames),
        "end_above_lowest_eV": f"{check.end - lowest:.2f}",
        "believed_on": len(believed),
        "too_high_by_at_most_eV": _largest([end.energy - check.end for end in believed]),
        "below_margin_by_at_most_eV": _largest([end.lowest - check.end for end in believed]),
        "stopped_after": "" if stopped is None else str(stopped),
    }


def _largest(values: list[float]) -> str:
    return f"{max(values):.2f}" if values else ""


if __name__ == "__main__":
    main()
