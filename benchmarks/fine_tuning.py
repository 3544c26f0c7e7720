"""What fine-tuning gives on data of its own kind: errors and minima before and after, on what was left out.

    python benchmarks/fine_tuning.py --data DATA --folder runs/ --only xtb --base chgnet --output results.csv

DATA holds finished reference searches: `gfn1-xtb/CdTe_v_Cd_0` and `gfn1-xtb/CdSe_v_Cd_0`, and frames of InP's
native defects and of CdTe's in `dft/*.extxyz.gz`. Each task trains on one part and is judged on the other:

- `CdTe→CdSe`, `CdSe→CdTe`: one host's vacancy, judged on the other's;
- `held-out distortions`: both hosts, judged on relaxations that were left out;
- `InP iIn`, `InP aP`, `InP vv`: the other defects of InP and its bulk, judged on that one; one more defect is left
  out to choose the epoch by.
- `CdTe v_Cd, HSE`: interstitials and the antisite of CdTe, judged on the charged vacancy, which does not reconstruct.

Trainings and judgements that are in --folder already are not repeated. Times are wall times of training with its
validation, on one thread.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from result_tables import write

from defectscout.cli.progress import reporter
from defectscout.core.progress import Progress
from defectscout.core.settings import merge_settings
from defectscout.evaluation.bootstrap import Bootstrap
from defectscout.evaluation.surrogate_minima import MinimaVerdict
from defectscout.learning.readers import SourceDefaults
from defectscout.learning.settings import CleaningSettings, FrameSamplingSettings, SplitSettings, TrainSettings
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.dataset import build_dataset, split_dataset
from defectscout.workflow.evaluate import FrameChoice, evaluate_surrogates
from defectscout.workflow.judge_minima import find_searches, judge_surrogates
from defectscout.workflow.training import train
from defectscout.workflow.training_data import training_data

KEY = ("task", "base", "recipe", "phase")
XTB = ("gfn1-xtb/CdTe_v_Cd_0", "gfn1-xtb/CdSe_v_Cd_0")
HSE = (
    "dft/CdTe_v_Cd_charged_HSE.extxyz.gz", "dft/CdTe_Cd_i_HSE.extxyz.gz", "dft/CdTe_Cd_Te_HSE.extxyz.gz",
)  # fmt: skip
INP = ("dft/InP_LDA_64at.extxyz.gz",)


@dataclass(frozen=True)
class Task:
    """Which data, and what is left out of the training."""

    name: str
    group: str
    sources: tuple[str, ...]
    method: str
    split: SplitSettings
    any_charge: bool = False


def tasks() -> tuple[Task, ...]:
    """All of them."""
    left_out = [
        Task(
            f"InP {defect}", "inp", INP, "LDA",
            SplitSettings(
                by="host-list", test_hosts=(f"InP/{defect}",), validation_hosts=(f"InP/{other}",), augment_validation=0
            ),
        )
        for defect, other in (("iIn", "vP"), ("aP", "vP"), ("vv", "aP"))
    ]  # fmt: skip
    return (
        Task("CdTe→CdSe", "xtb", XTB, "gfn1-xtb", SplitSettings(by="host-list", test_hosts=("CdSe",))),
        Task("CdSe→CdTe", "xtb", XTB, "gfn1-xtb", SplitSettings(by="host-list", test_hosts=("CdTe",))),
        Task(
            "held-out distortions", "xtb", XTB, "gfn1-xtb",
            SplitSettings(by="relaxation", train=0.6, validation=0.1, test=0.3),
        ),
        *left_out,
        Task(
            "CdTe v_Cd, HSE", "dft", HSE, "HSE(0.345)",
            SplitSettings(
                by="host-list", test_hosts=("CdTe/v_Cd",), validation_hosts=("CdTe/Cd_Te",), augment_validation=0
            ),
            any_charge=True,
        ),
    )  # fmt: skip


def main() -> None:
    """Train and judge what is asked for and not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", help="xtb, inp, or the name of a task")
    parser.add_argument("--base", action="append", required=True, help="surrogate to start from; may be repeated")
    parser.add_argument("--recipe", default="default", help="a name for the settings given with --set")
    parser.add_argument("--set", action="append", default=[], help="setting of training, as in epochs=10")
    parser.add_argument("--frames", type=int, default=10, help="frames of each relaxation")
    parser.add_argument("--no-minima", action="store_true")
    parser.add_argument("--output", type=Path, help="CSV file; rows of other runs in it stay")
    arguments = parser.parse_args()

    from defectscout.cli.options import assignments

    rows: list[dict[str, Any]] = []
    with reporter(quiet=False, verbose=False) as progress:
        for task in tasks():
            if arguments.only not in (None, task.group, task.name):
                continue
            for base in arguments.base:
                settings = merge_settings(TrainSettings(base=base), assignments(arguments.set), "--set")
                progress.message(f"{task.name}: {base}, {arguments.recipe}")
                rows += run(task, settings, arguments, progress)
    if arguments.output is not None:
        # Of bases of one family, the last stands.
        latest = {tuple(row[name] for name in KEY): row for row in rows}
        write(arguments.output, list(latest.values()), KEY)


def run(task: Task, settings: TrainSettings, arguments: argparse.Namespace, progress: Progress) -> list[dict[str, Any]]:
    """Two rows, before and after training."""
    base = Path(settings.base.partition(":")[2] or settings.base).name
    folder = arguments.folder / _slug(f"{task.name}-{base}-{arguments.recipe}")
    dataset = folder / "data.db"
    if not dataset.exists():
        folder.mkdir(parents=True, exist_ok=True)
        build_dataset(
            [arguments.data / source for source in task.sources], dataset, CleaningSettings(),
            FrameSamplingSettings(frames_per_relaxation=arguments.frames), SourceDefaults(method=task.method),
        )  # fmt: skip
        split_dataset(dataset, task.split)

    def judged(dataset: Path, surrogate: str) -> dict[str, Any]:
        found = errors(dataset, surrogate, progress)
        return found if arguments.no_minima else {**found, **minima(dataset, surrogate, progress)}

    about = {"task": task.name, "base": settings.base.partition(":")[0]}
    rows = []
    if settings.train != "scratch":
        kept = arguments.folder / _slug(f"{task.name}-{base}-untouched.json")
        rows.append(
            about | _kept_or(kept, lambda: {"recipe": "", "phase": "untouched"} | judged(dataset, settings.base))
        )

    def tuned() -> dict[str, Any]:
        data = training_data(dataset, charge=None, any_charge=task.any_charge, method=None)
        trained = train(data, settings, folder / "model", keep_worse=True, progress=progress)
        history = [epoch for fit in trained.fits for epoch in fit.history]
        return {
            "recipe": arguments.recipe,
            "phase": "tuned",
            **judged(dataset, str(folder / "model")),
            "epochs": trained.fits[0].history[-1].epoch,
            "kept_epoch": trained.fits[0].kept.epoch,
            "training_frames": len(data.train),
            "training_seconds": round(sum(epoch.seconds for epoch in history)),
            "verdict": trained.judgement.verdict,
        }

    rows.append(about | _kept_or(folder / "row.json", tuned))
    return rows


def _kept_or(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was found before, or is found now and kept."""
    if not path.exists():
        path.write_text(json.dumps(make(), indent=1))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-.,+" else "_" for letter in name)


def errors(dataset: Path, surrogate: str, progress: Progress) -> dict[str, float | int]:
    """Errors on the test frames."""
    result = evaluate_surrogates(
        [SurrogateSettings(name=surrogate, device="cpu")],
        dataset,
        FrameChoice("test"),
        Bootstrap(resamples=0),
        progress,
    )
    (evaluation,) = result.evaluations.values()
    metrics = evaluation.table.overall
    return {
        "test_frames": metrics.n_frames,
        "spearman": round(metrics.spearman.value, 3),
        "relative_energy_mae_eV": round(metrics.relative.mae.value, 3),
        "relative_energy_mae_below_5_eV_eV": round(metrics.low.mae.value, 3),
        "energy_shifted_mae_meV_per_atom": round(metrics.energy_shifted.mae.value, 2),
        "force_mae_meV_per_A": round(metrics.force.mae.value, 1),
        "stress_mae_GPa": round(metrics.stress.mae.value, 3),
    }


def minima(dataset: Path, surrogate: str, progress: Progress) -> dict[str, str]:
    """Minima of the left-out searches that the surrogate has, too."""
    searches = find_searches(dataset, FrameChoice("test"))
    judged = judge_surrogates([SurrogateSettings(name=surrogate, device="cpu")], searches, progress=progress)
    (verdicts,) = judged.verdicts.values()
    return {
        "starts": _joined(verdicts, lambda verdict: verdict.n_starts),
        "minima_found": _joined(verdicts, lambda v: f"{v.n_found}/{v.n_reference_minima}"),
        "candidates": _joined(verdicts, lambda verdict: verdict.n_candidates),
        "ground_state_rank": _joined(verdicts, lambda verdict: verdict.ground_state_rank or "lost"),
    }


def _joined(verdicts: Sequence[MinimaVerdict], number: Any) -> str:
    return "; ".join(str(number(verdict)) for verdict in verdicts)


if __name__ == "__main__":
    main()
