"""Whether the lowest minima of reference-only searches are minima, or shelves on which FIRE's criterion was met.

    OMP_NUM_THREADS=1 python benchmarks/relaxed_farther.py DATA/gfn1-xtb/CdTe_v_Cd_0 DATA/gfn1-xtb/CdSe_v_Cd_0

Each source is a reference-only search of one defect: every ionic step of each relaxation, as files or as a campaign.
Each of its minima within --window of the lowest goes on by FIRE until the largest force is below --force. One that was
a minimum stays: it falls by meV and keeps its bonds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from result_tables import bonds_text, write

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import Frame
from defectscout.evaluation.discovery import SearchOutcome
from defectscout.learning.readers import SourceDefaults
from defectscout.minima.bonds import new_bonds
from defectscout.relaxation.pool import ReferenceJob, relax_with_reference
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.workflow.campaign import RECORD_NAME
from defectscout.workflow.discovery import read_finished, read_reference_frames

METHOD = "gfn1-xtb"
RESULTS = Path(__file__).parent / "results" / "relaxed_farther.csv"


def main() -> None:
    """Relax the minima of each search farther, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+", help="reference-only searches")
    parser.add_argument("--window", type=float, default=0.5, help="above the lowest minimum, eV")
    parser.add_argument("--force", type=float, default=0.002, help="largest force at the end, eV/Å")
    parser.add_argument("--steps", type=int, default=300, help="at most")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    settings = RelaxationSettings(force=arguments.force, max_steps=arguments.steps)
    for source in arguments.sources:
        for name, outcome in searches(source):
            lowest = outcome.minima[0].energy
            low = [minimum for minimum in outcome.minima if minimum.energy <= lowest + arguments.window]
            rows = [row(name, outcome.defect, minimum, lowest, settings) for minimum in low]
            write(arguments.output, rows, ("search", "start"))
            for one in rows:
                print(", ".join(f"{key} {value}" for key, value in one.items()))


def searches(source: Path) -> Iterator[tuple[str, SearchOutcome]]:
    """The defects of a source with what was found of them."""
    if (source / RECORD_NAME).is_file():
        for label, found in read_finished(source).defects.items():
            yield f"{source.name}/{label}", found.outcome
    else:
        yield source.name, read_reference_frames(source, SourceDefaults(method=METHOD)).outcome


def row(search: str, defect: Defect, minimum: Minimum, lowest: float, settings: RelaxationSettings) -> dict[str, Any]:
    """One line of the table: where a minimum goes."""
    frames: list[Frame] = []

    def keep(_: str, checkpoint: Checkpoint) -> None:
        frames.append(checkpoint.frame)

    job = ReferenceJob(minimum.representative, minimum.atoms, defect.charge)
    (end,) = relax_with_reference(METHOD, [job], settings, workers=1, on_step=keep)
    final = frames[-1]
    return {
        "search": search,
        "start": minimum.representative,
        "above_lowest_eV": f"{minimum.energy - lowest:.3f}",
        "largest_force_eV_A": f"{frames[0].prediction.fmax:.3f}",
        "new_bonds": bonds_text(new_bonds(defect, minimum.atoms)),
        "force_calls": end.n_evaluations,
        "state": end.state.value,
        "then_largest_force_eV_A": f"{final.prediction.fmax:.3f}",
        "fell_by_eV": f"{frames[0].prediction.energy - final.prediction.energy:.3f}",
        "then_new_bonds": bonds_text(new_bonds(defect, final.atoms)),
    }


if __name__ == "__main__":
    main()
