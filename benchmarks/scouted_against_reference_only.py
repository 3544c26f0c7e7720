"""What a scouted search finds and costs, beside relaxing every sampling structure with the reference.

    python benchmarks/scouted_against_reference_only.py examples/CdTe.cif --defect v_Cd --folder runs/

Both searches are campaigns in --folder and are gone on with when the command is given again. Prints
the minima of each and the force calls, and with --output writes them as CSV. The reference is
GFN1-xTB and the surrogate CHGNet as it comes, unless the options say otherwise.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from rich.console import Console

from defectscout import SearchSettings, search
from defectscout.cli.progress import reporter
from defectscout.reporting.tables import comparison_view
from defectscout.workflow.compare import DefectComparison, compare
from defectscout.workflow.settings import merge


def main() -> None:
    """Run both searches, or go on with them, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host", type=Path)
    parser.add_argument("--defect", default="cation-vacancies")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--surrogate", default="chgnet")
    parser.add_argument("--reference", default="gfn1-xtb")
    parser.add_argument("--output", type=Path, help="CSV file")
    arguments = parser.parse_args()

    overrides = {
        "defects": {"select": (arguments.defect,)},
        "surrogate": {"name": arguments.surrogate},
        "reference": {"name": arguments.reference},
    }
    scouted = merge(SearchSettings(), overrides, "the options")
    alone = merge(scouted, {"strategy": "reference-only"}, "the options")
    folders = {name: arguments.folder / f"{arguments.host.stem}-{name}" for name in ("scouted", "reference-only")}
    with reporter(quiet=False, verbose=False) as progress:
        search(arguments.host, folders["reference-only"], alone, progress=progress)
        search(arguments.host, folders["scouted"], scouted, baseline=folders["reference-only"], progress=progress)
    found = compare(folders["reference-only"], folders["scouted"])
    Console(width=160).print(comparison_view("reference-only", "scouted", found))
    if arguments.output is not None:
        write(arguments.output, found)


def write(path: Path, found: tuple[DefectComparison, ...]) -> None:
    """One row for each minimum, and one for the force calls of each defect."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["defect", "what", "relative_energy_eV", "reference_only", "scouted"])
        for item in found:
            for minimum in item.minima:
                energies = [f"{e:.3f}" if e is not None else "missed" for e in (minimum.in_first, minimum.in_second)]
                bonds = ", ".join(minimum.bonds) or "no new bond"
                writer.writerow([item.label, bonds, f"{minimum.energy:.3f}", *energies])
            writer.writerow([item.label, "reference force calls", "", item.first_calls, item.second_calls])


if __name__ == "__main__":
    main()
