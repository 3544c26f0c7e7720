"""How far a relaxation may still fall, told from its largest force: when may one that stands too high be stopped?

    OMP_NUM_THREADS=1 python benchmarks/fall_to_the_minimum.py DATA/gfn1-xtb/CdTe_v_Cd_0 DATA/gfn1-xtb/CdSe_v_Cd_0 \
        --gaussian-process runs/

Each source is a reference-only search of one defect: every ionic step of each relaxation, as files or as a campaign.
With --gaussian-process each of its strained starts is relaxed once more with GFN1-xTB, as the learning loop relaxes
what checks its answer; these relaxations are kept in that folder, and only what is missing there is run.

For each relaxation the table says by what multiple of its largest force (Å) a frame has fallen until the end, at most,
among the frames with forces up to CALM; and how far frames that were calmer than where that bound begins to hold have
fallen. It says as well how many force calls it takes until the rule of the learning loop stops the relaxation, if the
lowest minimum of its host is known; none where it goes on to the end.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io import read
from ase.io import write as write_atoms
from result_tables import write

from defectscout.core.defect import UNPERTURBED
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.learning.frames import BULK, LabelledFrame
from defectscout.learning.readers import SourceDefaults, read_source
from defectscout.relaxation.pool import ReferenceJob, Stop, relax_with_reference
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steppers import gaussian_process_stepper
from defectscout.workflow.learn.settings import LearnSettings
from defectscout.workflow.learn.stopping import CALM, FALL_LENGTH, LAST_FALL, far_above

METHOD = "gfn1-xtb"
SETTINGS = RelaxationSettings()
MOST_STEPS = 70
RESULTS = Path(__file__).parent / "results" / "fall_to_the_minimum.csv"


@dataclass(frozen=True)
class Fall:
    """One relaxation."""

    search: str
    start: str
    optimiser: str
    charge: int
    frames: Sequence[Frame]

    @property
    def end(self) -> float:
        return min(frame.prediction.energy for frame in self.frames)

    def length(self) -> float:
        """The largest fall in multiples of the largest force, Å."""
        moving = [frame.prediction for frame in self.frames if LAST_FALL / FALL_LENGTH <= frame.prediction.fmax < CALM]
        return max(((one.energy - self.end) / one.fmax for one in moving), default=0.0)

    def shelf(self) -> float:
        """The largest fall where forces are smaller, eV."""
        still = [frame.prediction for frame in self.frames if frame.prediction.fmax < LAST_FALL / FALL_LENGTH]
        return max((one.energy - self.end for one in still), default=0.0)

    def stopped_after(self, lowest: float) -> int | None:
        """Force calls until the loop stops it, where `lowest`, eV, is known; None if it does not."""
        rule = far_above(lowest + LearnSettings().window)
        return next((k for k, frame in enumerate(self.frames, 1) if rule(frame) is not None), None)


def main() -> None:
    """Read, relax what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+", help="reference-only searches")
    parser.add_argument("--gaussian-process", type=Path, metavar="FOLDER", help="relax the starts once more, kept here")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = []
    for source in arguments.sources:
        falls = list(by_fire(source))
        if arguments.gaussian_process:
            falls += [by_gaussian_process(fall, arguments.gaussian_process) for fall in falls if is_strained(fall)]
        lowest = min(fall.end for fall in falls)
        rows += [row(fall, lowest) for fall in falls]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write(arguments.output, rows, ("search", "start", "optimiser"))
    print(f"{len(rows)} relaxations")
    print(f"largest fall over force: {max(float(one['fall_over_force_A']) for one in rows):.2f} Å")
    print(f"largest fall on a shelf: {max(float(one['fall_on_a_shelf_eV']) for one in rows):.2f} eV")
    high = [one for one in rows if one["stopped_after"]]
    if high:
        print(
            f"{len(high)} stopped, after {sum(int(one['stopped_after']) for one in high)} of their "
            f"{sum(int(one['force_calls']) for one in high)} force calls"
        )


def by_fire(source: Path) -> Iterator[Fall]:
    """The relaxations of a search."""
    relaxations: dict[str, list[LabelledFrame]] = defaultdict(list)
    name = source.name
    for item in read_source(source, SourceDefaults(method=METHOD)):
        if isinstance(item, LabelledFrame) and item.origin.defect != BULK:
            relaxations[item.origin.start].append(item)
            name = str(item.origin.defect_id)
    for start, labelled in sorted(relaxations.items()):
        frames = [Frame(one.atoms, one.prediction, step) for step, one in enumerate(labelled)]
        yield Fall(name, start, "fire", labelled[0].origin.charge, frames)


def is_strained(fall: Fall) -> bool:
    """Whether a check may begin there."""
    return fall.start != UNPERTURBED


def by_gaussian_process(fall: Fall, folder: Path) -> Fall:
    """The same start, relaxed as a check of the loop is, until it is at rest."""
    kept = folder / fall.search.replace("/", "_") / f"{fall.start.rstrip('%')}.extxyz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".part")
        write_atoms(partial, [_with_prediction(frame) for frame in _relaxed(fall)], format="extxyz")
        partial.rename(kept)
    frames = [_frame(atoms, step) for step, atoms in enumerate(read(kept, ":"))]
    return Fall(fall.search, fall.start, "gaussian process", fall.charge, frames)


def _relaxed(fall: Fall) -> list[Frame]:
    frames: list[Frame] = []

    def keep(_: str, checkpoint: Checkpoint) -> None:
        frames.append(checkpoint.frame)

    def at_rest(frame: Frame) -> Stop | None:
        if frame.prediction.fmax >= 2 * SETTINGS.force and frame.step <= MOST_STEPS:
            return None
        return Stop(RelaxationState.UNCONVERGED, "at rest")

    start, stepper = fall.frames[0].atoms, gaussian_process_stepper(SETTINGS)
    job = ReferenceJob("start", start, fall.charge, stepper=stepper, stop=at_rest)
    relax_with_reference(METHOD, [job], SETTINGS, workers=1, on_step=keep)
    return frames


def _with_prediction(frame: Frame) -> Atoms:
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = frame.atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, energy=frame.prediction.energy, forces=frame.prediction.forces)
    return atoms


def _frame(atoms: Atoms, step: int) -> Frame:
    return Frame(atoms, Prediction(atoms.get_potential_energy(), atoms.get_forces()), step)


def row(fall: Fall, lowest: float) -> dict[str, Any]:
    """One line of the table."""
    stopped = fall.stopped_after(lowest)
    return {
        "search": fall.search,
        "start": fall.start,
        "optimiser": fall.optimiser,
        "force_calls": len(fall.frames),
        "end_above_lowest_eV": f"{fall.end - lowest:.2f}",
        "fall_over_force_A": f"{fall.length():.2f}",
        "fall_on_a_shelf_eV": f"{fall.shelf():.2f}",
        "stopped_after": "" if stopped is None else str(stopped),
    }


if __name__ == "__main__":
    main()
