"""A fine search of every inequivalent vacancy of an alloy, beside a coarse reference-only one (paper, table S15).

    OMP_NUM_THREADS=1 python benchmarks/alloys.py --data DATA --folder runs/ --base m3gnet:FOLDER

1. A surrogate is trained on the reference-only searches DATA/gfn1-xtb/CdTe_v_Cd_0 and CdSe_v_Cd_0 by the paper's
   recipe: 45 frames of each relaxation and 20 of each pristine crystal, a tenth of them for validation.
2. Random supercells of Cd(Te,Se) with 54 atoms at the compositions --x: v_Cd at one site of each environment, 31
   sampling structures, scouted with that surrogate as it is; GFN1-xTB relaxes the distinct minima, in steps that the
   surrogate proposes.
3. The same sites at the compositions --coarse-x: ShakeNBreak's 15 sampling structures, all relaxed with GFN1-xTB.

What is finished in --folder is only read, what was interrupted is gone on with. The surrogate has never seen a Se–Te
bond. `results/alloy_sites.csv`, `alloy_environments.csv` and `alloy_fine_and_coarse.csv` hold what came out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from defectscout.analysis.alloys import analyse_alloy
from defectscout.cli.progress import reporter
from defectscout.core.progress import Progress
from defectscout.learning.readers import SourceDefaults
from defectscout.learning.settings import CleaningSettings, FrameSamplingSettings, SplitSettings, TrainSettings
from defectscout.reporting.alloy_tables import comparison_table, environment_table, site_table
from defectscout.reporting.figures.alloys import draw_alloy_energies, draw_fine_and_coarse
from defectscout.reporting.table import Table, csv_text
from defectscout.surrogates.model_folder import is_model_folder
from defectscout.workflow.alloys.overview import read_alloy
from defectscout.workflow.alloys.run import search_alloy
from defectscout.workflow.alloys.settings import AlloySettings
from defectscout.workflow.dataset import build_dataset, split_dataset
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.training import train
from defectscout.workflow.training_data import training_data

METHOD = "gfn1-xtb"
ENDS = ("gfn1-xtb/CdTe_v_Cd_0", "gfn1-xtb/CdSe_v_Cd_0")
HOST = "hosts/CdTe_F-43m.cif"
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run what is not finished yet, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--base", required=True, help="surrogate to start from")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--x", default="0.5,0.2,0.8", help="compositions of the fine search")
    parser.add_argument("--coarse-x", default="0.5", help="those of the coarse one, or none")
    parser.add_argument("--workers", type=int, help="reference relaxations at once")
    parser.add_argument("--only-read", action="store_true", help="calculate nothing: tables of what there is")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with reporter(quiet=False, verbose=False) as progress:
        if not arguments.only_read:
            model = trained(arguments.data, arguments.folder, arguments.base, arguments.epochs, progress)
            host = arguments.data / HOST
            for name, text in (("fine", arguments.x), ("coarse", arguments.coarse_x)):
                if text != "none":
                    search_alloy(
                        host, arguments.folder / name, alloy(text), settings(name, model, arguments.workers), progress
                    )
    write(arguments.folder, arguments.output)


def trained(data: Path, folder: Path, base: str, epochs: int, progress: Progress) -> Path:
    """The surrogate of both end members."""
    dataset, model = folder / "CdTe_CdSe.db", folder / "CdTe_CdSe_m3gnet"
    if not dataset.exists():
        folder.mkdir(parents=True, exist_ok=True)
        build_dataset(
            [data / end for end in ENDS], dataset, CleaningSettings(),
            FrameSamplingSettings(frames_per_relaxation=45, bulk_frames=20), SourceDefaults(method=METHOD),
            progress=progress,
        )  # fmt: skip
        split_dataset(dataset, SplitSettings(by="random", train=0.9, validation=0.1, test=0.0))
    if not is_model_folder(model):
        frames = training_data(dataset, charge=None, any_charge=False, method=None)
        train(frames, TrainSettings(base=base, epochs=epochs), model, progress=progress)
    return model


def alloy(x: str) -> AlloySettings:
    """Cd(Te,Se), one random supercell of each composition."""
    return AlloySettings(substitute=("Te:Se",), x=tuple(float(part) for part in x.split(",")))


def settings(name: str, model: Path, workers: int | None) -> SearchSettings:
    """Of the fine search with the surrogate, or of the coarse one without."""
    chosen = {"defects": {"select": ("v_Cd",)}, "reference": {"name": METHOD, "workers": workers}}
    if name == "coarse":
        return merge(SearchSettings(), {**chosen, "strategy": "reference-only"}, "the benchmark")
    fine = {
        "sampling": {"pairs": True},
        "surrogate": {"name": str(model)},
        "strategy": "scout",
        "refinement": {"optimiser": "corrected"},
    }
    return merge(SearchSettings(), chosen | fine, "the benchmark")


def write(folder: Path, output: Path) -> None:
    """Tables and figures of what has finished."""
    coarse = [read_alloy(folder / "coarse")] if (folder / "coarse").is_dir() else []
    found = analyse_alloy(read_alloy(folder / "fine"), coarse)
    for name, table in (
        ("alloy_sites", site_table(found)),
        ("alloy_environments", environment_table(found)),
        ("alloy_fine_and_coarse", comparison_table(found)),
    ):
        show(table)
        (output / f"{name}.csv").write_text(csv_text(table), encoding="utf-8")
    draw_alloy_energies(found, output / "alloy_energies.png")
    if found.comparisons:
        draw_fine_and_coarse(found, output / "alloy_minima.png")


def show(table: Table) -> None:
    """The table on standard output."""
    print(table.title)
    print("\t".join(column.heading for column in table.columns))
    for row in table.texts():
        print("\t".join(row))
    for note in table.notes:
        print(note)


if __name__ == "__main__":
    main()
