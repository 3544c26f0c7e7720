"""How many force calls a corrected relaxation takes, with the trust radius growing more or less fast.

    OMP_NUM_THREADS=1 python benchmarks/corrected_relaxations.py runs/CdSe-learn-0 runs/CdTe-learn-1 --growth 1.3,2

Each source is the campaign of a learning loop. Its corrected relaxations are run once more with GFN1-xTB, from where
they began and with the surrogate that they began with; that one does not learn from their frames here, as it would
between rounds. The table says with how many force calls each came to rest, and how high above the lowest frame of its
loop.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from relaxed_again import again, relaxed_in
from result_tables import write

from defectscout.relaxation.settings import RelaxationSettings

METHOD = "gfn1-xtb"
RESULTS = Path(__file__).parent / "results" / "corrected_relaxations.csv"


def main() -> None:
    """Relax again, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaigns", type=Path, nargs="+", help="campaigns of learning loops")
    parser.add_argument("--growth", default="1.3,2", help="values to compare")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    plain = RelaxationSettings()
    growths = [float(text) for text in arguments.growth.split(",")]
    calls = dict.fromkeys(growths, 0)
    for folder in arguments.campaigns:
        for one in relaxed_in(folder):
            rows = []
            for growth in growths:
                corrected = plain.corrected.model_copy(update={"growth": growth})
                settings = plain.model_copy(update={"corrected": corrected})
                (end,) = again(one, [one.start], settings, METHOD)
                calls[growth] += len(end.energies)
                above = round(1000 * (end.energies[-1] - one.lowest), 1)
                rows.append(
                    {"campaign": one.campaign, "relaxation": one.label, "growth": growth}
                    | {"force_calls": len(end.energies), "end": end.state.value, "end_above_lowest_meV": above}
                )
                print(*rows[-1].values(), flush=True)
            write(arguments.output, rows, ("campaign", "relaxation", "growth"))
    print(*(f"growth {growth:g}: {spent} force calls" for growth, spent in calls.items()), sep="\n")


if __name__ == "__main__":
    main()
