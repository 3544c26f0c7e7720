"""What the learning loop finds and costs, beside a reference-only search and the funnel with a fixed surrogate.

    OMP_NUM_THREADS=1 python benchmarks/learning_loop.py --data DATA --folder runs/ --surrogate m3gnet:FOLDER

For the cation vacancy of each host (CIFs in DATA/hosts) these strategies are compared, with GFN1-xTB as the reference:

- `reference-only`: every sampling structure relaxed with the reference; DATA/gfn1-xtb/HOST_DEFECT_0 is read instead
  where it holds such a search and --folder does not, and else what `kept_searches` has of it;
- `untouched`: the surrogate as it comes scouts, the reference relaxes its candidates (the paper's funnel, untrained);
- `trained-elsewhere`: likewise, with the surrogate trained on the reference-only searches of the other hosts;
- `learn`: the learning loop, from several seeds of the sampling structures and of tuning;
- `learn-related`: the loop that starts from what `learn` has left of a related host;
- `learn-related-probed`: likewise, and the reference is asked whether the ground state is a minimum;
- `learn-minima`, `learn-uncertain`, `learn-corrected`: the loop with another strategy of what to ask.

Campaigns are folders HOST-STRATEGY[-SEED] in --folder. What is finished is only read, what was interrupted is gone on
with, so the command may be given again at any time. Each learning loop has a store of models to itself.

Rows of searches that are not asked for stay in the tables, and in the figure, as they are.

CPU seconds of the reference are force calls times the CPU time of a call, measured for each host on one thread: a call
that starts from scratch, as the first of each relaxation does and every single point, and one that goes on from the
wavefunction of the call before. Wall seconds are those of the campaign's log, without pauses between runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from discovery_curves import Key, curve_rows, read_curves
from kept_searches import is_thinned, kept_search, unpack
from result_tables import bonds_text, write

from defectscout import SearchSettings, search
from defectscout.cli.progress import reporter
from defectscout.core.errors import DefectscoutError
from defectscout.core.progress import Progress
from defectscout.evaluation.discovery import Discovery, DiscoveryCurve, judge_discovery
from defectscout.learning.readers import SourceDefaults
from defectscout.learning.settings import CleaningSettings, FrameSamplingSettings, TrainSettings
from defectscout.references.registry import load_reference
from defectscout.reporting.discovery_figures import Panel, draw_discovery
from defectscout.surrogates.model_folder import is_model_folder
from defectscout.workflow.dataset import build_dataset
from defectscout.workflow.discovery import (
    FinishedSearch,
    is_finished,
    learned_surrogate,
    read_finished,
    read_reference_frames,
)
from defectscout.workflow.learn.settings import LearnSettings
from defectscout.workflow.settings import merge
from defectscout.workflow.store import VARIABLE
from defectscout.workflow.training import train
from defectscout.workflow.training_data import training_data

METHOD = "gfn1-xtb"
CALLS_TIMED = 4
RESULTS = Path(__file__).parent / "results"
STRATEGIES = {
    "reference-only": "reference only",
    "untouched": "untouched surrogate, then reference",
    "trained-elsewhere": "trained on the other hosts, then reference",
    "learn": "learning loop",
    "learn-related": "learning loop after a related host",
    "learn-minima": "learning loop, asks minima",
    "learn-uncertain": "learning loop, asks where unsure",
    "learn-corrected": "learning loop, corrected relaxations",
    "learn-related-probed": "after a related host, curvature probed",
}
ASKS = ("minima", "uncertain", "corrected")
RELATED, PROBED = "learn-related", "-probed"
CURVATURE_CALLS = 20


@dataclass(frozen=True)
class Host:
    """A host of the benchmark, its vacancy, and the host that `learn-related` starts from."""

    name: str
    defect: str
    file: str
    related: str = ""

    @property
    def label(self) -> str:
        return f"{self.defect}_0"

    @property
    def title(self) -> str:
        return rf"V$_\mathrm{{{self.defect.removeprefix('v_')}}}$ in {self.name}"


HOSTS = {
    host.name: host
    for host in (
        Host("CdTe", "v_Cd", "CdTe_F-43m.cif", "CdSe"),
        Host("CdSe", "v_Cd", "CdSe_F-43m.cif", "CdTe"),
        Host("GaCuS2", "v_Ga", "GaCuS2_I-42d.cif"),
        Host("CuAsS", "v_Cu", "CuAsS_Pnma.cif"),
    )
}


@dataclass(frozen=True)
class Run:
    """One campaign of the benchmark; `seed` is empty where there is but one."""

    host: Host
    strategy: str
    seed: str = ""

    @property
    def name(self) -> str:
        return f"{self.host.name}-{self.strategy}{f'-{self.seed}' if self.seed else ''}"


@dataclass(frozen=True)
class Finished:
    """A run that has its answer."""

    run: Run
    found: FinishedSearch
    surrogate: str = ""
    wall_seconds: float = float("nan")
    training_seconds: float = 0.0


def main() -> None:
    """Run what is missing, and compare."""
    arguments = _arguments()
    hosts = [HOSTS[name] for name in arguments.hosts]
    finished: list[Finished] = []
    with reporter(quiet=False, verbose=False) as progress:
        for run in runs(hosts, arguments.strategies, arguments.seeds):
            progress.message(f"{run.name}:")
            try:
                finished.append(finish(run, arguments, progress))
            except DefectscoutError as error:
                progress.warn(f"{run.name}: {error}")
    answers = {item.run.host.name: item for item in finished if item.run.strategy == "reference-only"}
    rows, minima, curves = [], [], []
    curve_table = arguments.output / "learning_loop_curves.csv"
    known = read_curves(curve_table) if curve_table.exists() else {}
    for item in finished:
        answer = answers.get(item.run.host.name)
        if answer is None:
            continue
        judged = judge_discovery(answer.found.outcome, item.found.outcome)
        rows.append(row(item, judged, call_cost(item.run.host, answer.found, arguments.folder)))
        minima += list(minima_rows(item, judged))
        zero = answer.found.outcome.minima[0].energy + judged.offset
        search_key = (item.run.host.name, item.run.strategy, item.run.seed)
        if not (is_thinned(item.found) and search_key in known):  # that one may be whole
            curves += list(curve_rows(search_key, item.found.curve(zero)))
    arguments.output.mkdir(parents=True, exist_ok=True)
    key = ("host", "strategy", "seed")
    write(arguments.output / "learning_loop.csv", rows, key)
    write(arguments.output / "learning_loop_minima.csv", minima, key)
    write(curve_table, curves, key)
    if answers:
        draw_discovery(panels(read_curves(curve_table), answers), arguments.output / "learning_loop.png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: tuple(part for part in text.split(",") if part)  # noqa: E731
    parser.add_argument("--data", type=Path, required=True, help="holds hosts/ and gfn1-xtb/")
    parser.add_argument("--folder", type=Path, required=True, help="holds the campaigns")
    parser.add_argument("--hosts", type=listed, default=tuple(HOSTS))
    parser.add_argument("--strategies", type=listed, default=tuple(STRATEGIES))
    parser.add_argument("--seeds", type=listed, default=("0", "1", "2"), help="of the strategies that learn")
    parser.add_argument("--surrogate", default="chgnet", help="what every strategy starts from")
    parser.add_argument("--epochs", type=int, default=30, help="of trained-elsewhere, at most")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    for given, known in ((arguments.hosts, HOSTS), (arguments.strategies, STRATEGIES)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    if any(not seed.isdigit() for seed in arguments.seeds):
        parser.error("seeds are whole numbers, separated by commas")
    return arguments


def runs(hosts: Sequence[Host], strategies: Sequence[str], seeds: Sequence[str]) -> Iterator[Run]:
    """All of them, strategy by strategy: later ones start from what earlier ones have left.

    The reference-only searches are always among them, since everything is judged by those.
    """
    for strategy in STRATEGIES:
        if strategy not in (*strategies, "reference-only"):
            continue
        for host in hosts:
            if strategy.startswith(RELATED) and not host.related:
                continue
            for seed in seeds if strategy.startswith("learn") else ("",):
                yield Run(host, strategy, seed)


def finish(run: Run, arguments: argparse.Namespace, progress: Progress) -> Finished:
    """Run a campaign to its end, or read one that has ended."""
    folder = arguments.folder / run.name
    if run.strategy == "reference-only" and not folder.exists():
        if (data := shared_search(run.host, arguments.data)) is not None:
            return Finished(run, read_reference_frames(data, SourceDefaults(method=METHOD)))
        if (kept := kept_search(run.host.name)) is not None:
            unpack(kept, folder, progress)
    seconds = 0.0
    if not is_finished(folder):
        surrogate = surrogate_of(run, arguments, progress)
        with own_store(run, arguments.folder):
            search(arguments.data / "hosts" / run.host.file, folder, settings(run, surrogate), progress=progress)
    if run.strategy == "trained-elsewhere" and (file := _training_seconds(run, arguments.folder)).exists():
        seconds = json.loads(file.read_text())
    campaign = read_finished(folder)
    return Finished(
        run, campaign.defects[run.host.label], _short(campaign.surrogate, arguments.folder), campaign.seconds, seconds
    )


def shared_search(host: Host, data: Path) -> Path | None:
    """The files of a reference-only search that somebody has run, if there are any."""
    folder = data / METHOD / f"{host.name}_{host.label}"
    return folder if folder.is_dir() else None


def settings(run: Run, surrogate: str) -> SearchSettings:
    """Settings of a campaign: the defaults, but for what the benchmark is about."""
    overrides: dict[str, Any] = {"defects": {"select": (run.host.defect,)}, "reference": {"name": METHOD}}
    if run.strategy == "reference-only":
        overrides["strategy"] = "reference-only"
    else:
        overrides |= {"strategy": "scout", "surrogate": {"name": surrogate}}
    if run.seed:
        seed = int(run.seed)
        ask = next((ask for ask in ASKS if run.strategy == f"learn-{ask}"), LearnSettings().ask)
        learn: dict[str, Any] = {"ask": ask, "tuning": {"seed": seed}}
        if run.strategy.endswith(PROBED):
            learn["curvature_calls"] = CURVATURE_CALLS
        overrides |= {"strategy": "learn", "sampling": {"seed": seed}, "learn": learn}
    return merge(SearchSettings(), overrides, "the benchmark")


def surrogate_of(run: Run, arguments: argparse.Namespace, progress: Progress) -> str:
    """What a campaign scouts with, or begins to learn from."""
    if run.strategy == "trained-elsewhere":
        return str(trained_elsewhere(run, arguments, progress))
    if run.strategy.startswith(RELATED):
        related = Run(HOSTS[run.host.related], "learn", run.seed)
        return str(learned_surrogate(arguments.folder / related.name, related.host.label))
    return str(arguments.surrogate)


@contextmanager
def own_store(run: Run, folder: Path) -> Iterator[None]:
    """A store of models for one campaign alone: empty, or, after a related host, what the related campaign has left."""
    store = folder.absolute() / "stores" / run.name
    if run.strategy.startswith(RELATED) and not store.exists():
        before = store.with_name(Run(HOSTS[run.host.related], "learn", run.seed).name)
        if before.is_dir():
            shutil.copytree(before, store)
    outside = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(store)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if outside is not None:
            os.environ[VARIABLE] = outside


def trained_elsewhere(run: Run, arguments: argparse.Namespace, progress: Progress) -> Path:
    """The surrogate trained on the reference-only searches of all other hosts, those that are not asked for, too."""
    folder: Path = arguments.folder / f"{run.host.name}-elsewhere"
    model, dataset = folder / "model", folder / "data.db"
    if is_model_folder(model):
        return model
    others = [host for host in HOSTS.values() if host != run.host]
    if not dataset.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sources = [shared_search(host, arguments.data) or _finished_alone(host, arguments.folder) for host in others]
        build_dataset(
            sources, dataset, CleaningSettings(), FrameSamplingSettings(), SourceDefaults(method=METHOD), progress
        )
    data = training_data(dataset, charge=None, any_charge=False, method=None)
    chosen = TrainSettings(base=arguments.surrogate, epochs=arguments.epochs)
    trained = train(data, chosen, model, keep_worse=True, progress=progress)
    spent = sum(epoch.seconds for fit in trained.fits for epoch in fit.history)
    _training_seconds(run, arguments.folder).write_text(json.dumps(round(spent, 1)))
    return model


def _finished_alone(host: Host, folder: Path) -> Path:
    campaign = folder / Run(host, "reference-only").name
    read_finished(campaign)  # says what is wrong where it is not finished
    return campaign


def _training_seconds(run: Run, folder: Path) -> Path:
    return folder / f"{run.host.name}-elsewhere" / "seconds.json"


def call_cost(host: Host, answer: FinishedSearch, folder: Path) -> tuple[float, float]:
    """CPU seconds of a force call from scratch, and of one that goes on from the one before."""
    kept = folder / f"{host.name}-call.json"
    if not kept.exists():
        atoms, random = answer.outcome.defect.atoms.copy(), np.random.default_rng(0)
        reference = load_reference(METHOD)
        state = reference.electronic_state(atoms, answer.outcome.defect.charge)
        # As rattled as a sampling structure; then steps as they are on the way down from there.
        atoms.positions += random.normal(scale=0.2, size=(len(atoms), 3))
        evaluator, seconds = reference.evaluator(state), []
        for _ in range(CALLS_TIMED):
            begin = time.process_time()
            evaluator.evaluate(atoms)
            seconds.append(time.process_time() - begin)
            atoms.positions += random.normal(scale=0.02, size=(len(atoms), 3))
        kept.write_text(json.dumps([seconds[0], float(np.mean(seconds[1:]))]))
    first, following = json.loads(kept.read_text())
    return float(first), float(following)


def row(item: Finished, judged: Discovery, cost: tuple[float, float]) -> dict[str, Any]:
    """One line of the table."""
    outcome, run = item.found.outcome, item.run
    calls = judged.calls + judged.check_calls
    cpu = item.found.fresh_calls * cost[0] + (calls - item.found.fresh_calls) * cost[1]
    recovered = sum(one.found is not None for one in judged.minima)
    return {
        "host": run.host.name,
        "defect": run.host.label,
        "strategy": run.strategy,
        "seed": run.seed,
        "surrogate": item.surrogate,
        "ground_state_eV": _number(judged.ground_state, 3),
        "new_bonds": bonds_text(outcome.minima[0].new_bonds),
        "found": judged.found,
        "low_lying_recovered": f"{judged.recovered}/{len(judged.low_lying)}",
        "all_recovered": f"{recovered}/{len(judged.minima)}",
        "reference_calls": judged.calls,
        "reference_calls_with_checks": calls,
        "share_of_reference_only_percent": _number(100 * judged.share_of_calls, 1),
        "reference_cpu_seconds": _number(cpu, 0),
        "wall_seconds": _number(item.wall_seconds, 0),
        "training_seconds": _number(item.training_seconds, 0),
        "confidence": item.found.confidence,
    }


def minima_rows(item: Finished, judged: Discovery) -> Iterator[dict[str, Any]]:
    """One line for each minimum of the reference-only search: whether this run has it, too."""
    for minimum in judged.minima:
        yield {
            "host": item.run.host.name,
            "strategy": item.run.strategy,
            "seed": item.run.seed,
            "relative_energy_eV": _number(minimum.relative_energy, 3),
            "new_bonds": bonds_text(minimum.reference.new_bonds),
            "reached_by_starts": len(minimum.reference.members),
            "outcome": "missed" if minimum.found is None else "recovered",
            "nearest_fingerprint": f"{minimum.distance:.1e}",
        }


def panels(known: Mapping[Key, DiscoveryCurve], answers: Mapping[str, Finished]) -> list[Panel]:
    """A panel for each host, with every search whose curve is known, of earlier runs, too; nothing much above the
    unperturbed structure is of interest."""
    drawn = []
    for name, answer in answers.items():
        unperturbed, zero = answer.found.outcome.unperturbed, answer.found.outcome.minima[0].energy
        curves = {
            label: [curve for (host, kind, _), curve in known.items() if host == name and kind == strategy]
            for strategy, label in STRATEGIES.items()
            if not strategy.endswith(PROBED)  # until it probes, it is what it is without
        }
        drawn.append(Panel(HOSTS[name].title, curves, None if unperturbed is None else unperturbed - zero))
    return drawn


def _short(surrogate: str, folder: Path) -> str:
    """A surrogate's name without where it lies on this machine."""
    family, colon, rest = surrogate.rpartition(":")
    path = Path(rest)
    if not path.is_absolute():
        return surrogate
    inside = path.is_relative_to(folder.absolute())
    return f"{family}{colon}{path.relative_to(folder.absolute()) if inside else path.name}"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


if __name__ == "__main__":
    main()
