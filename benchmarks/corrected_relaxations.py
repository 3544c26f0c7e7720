"""How many force calls a corrected relaxation takes, by how the trust radius grows and how far structures are apart.

    OMP_NUM_THREADS=1 python benchmarks/corrected_relaxations.py runs/CdSe-learn-0 runs/CdTe-learn-1 \
        --growth 1.3,2 --distance bonds,atoms

Each source is the campaign of a learning loop. Its corrected relaxations are run once more with GFN1-xTB, from where
they began and with the surrogate that they began with; that one does not learn from their frames here, as it would
between rounds. Distances that the correction fades with are those of bonds (`relaxation/metric.py`), or of atoms.
The table says with how many force calls each came to rest, and how high above the lowest frame of its loop.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from ase import Atoms
from relaxed_again import again, relaxed_in
from result_tables import write

from defectscout.relaxation.metric import Metric
from defectscout.relaxation.settings import RelaxationSettings

METHOD = "gfn1-xtb"
RESULTS = Path(__file__).parent / "results" / "corrected_relaxations.csv"


@contextmanager
def distance_of(kind: str) -> Iterator[None]:
    """Have the correction count distances so, in this process."""
    if kind == "bonds":
        yield
        return

    def by_atoms(atoms: Atoms) -> Metric:
        return Metric(np.eye(3 * len(atoms)))

    with patch("defectscout.relaxation.corrected_model.bond_metric", by_atoms):
        yield


def main() -> None:
    """Relax again, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaigns", type=Path, nargs="+", help="campaigns of learning loops")
    parser.add_argument("--growth", default="1.3", help="values to compare")
    parser.add_argument("--distance", default="bonds,atoms", help="kinds to compare")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    plain = RelaxationSettings()
    variants = [
        (float(growth), distance)
        for growth in arguments.growth.split(",")
        for distance in arguments.distance.split(",")
    ]
    calls = dict.fromkeys(variants, 0)
    for folder in arguments.campaigns:
        for one in relaxed_in(folder):
            rows = []
            for growth, distance in variants:
                corrected = plain.corrected.model_copy(update={"growth": growth})
                settings = plain.model_copy(update={"corrected": corrected})
                with distance_of(distance):
                    (end,) = again(one, [one.start], settings, METHOD)
                calls[growth, distance] += len(end.energies)
                above = round(1000 * (end.energies[-1] - one.lowest), 1)
                rows.append(
                    {"campaign": one.campaign, "relaxation": one.label, "growth": growth, "distance": distance}
                    | {"force_calls": len(end.energies), "end": end.state.value, "end_above_lowest_meV": above}
                )
                print(*rows[-1].values(), flush=True)
            write(arguments.output, rows, ("campaign", "relaxation", "growth", "distance"))
    for (growth, distance), spent in calls.items():
        print(f"growth {growth:g}, distance of {distance}: {spent} force calls")


if __name__ == "__main__":
    main()
