"""A family of surrogates that learn: the model crystal, with depth and length of its bonds in a file.

Only the network is replaced. Untouched, it knows nothing of the bonds; `tune` fits the two numbers to the
forces of the frames that it is given, and goes a part of the way there, as a few epochs do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from multiprocessing.connection import Pipe
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from scipy.optimize import minimize_scalar

from defectscout.core.frames import Prediction
from defectscout.core.progress import Progress, SilentProgress
from defectscout.learning.frames import LabelledFrame
from defectscout.relaxation import pool, worker
from defectscout.surrogates import registry
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.model_folder import (
    Manifest,
    Member,
    TrainedOn,
    is_model_folder,
    read_manifest,
    untouched_of,
    weights_digest,
    write_manifest,
)
from defectscout.surrogates.settings import Device, SurrogateSettings
from defectscout.workflow import settling
from defectscout.workflow.campaign import fork_campaign, read_campaign, reopen_campaign
from defectscout.workflow.learn import learner
from defectscout.workflow.learn.rounds import ANSWERING_STAGES, LearnRecord, read_records
from defectscout.workflow.learn.settings import TuningSettings
from defectscout.workflow.learn.tuning import frames_digest
from defectscout.workflow.record import Record, Task
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import Until, resume, search
from defectscout.workflow.settings import SearchSettings, merge
from model_crystal import ModelCrystal

FAMILY = "crystal"
DEPTH, LENGTH = 3.0, 2.1
"""Of the reference's bond, eV and Å: three minima, of which the lowest two lie 0.2 eV apart."""

UNTOUCHED = (0.0, 2.4)
PART_OF_THE_WAY = 0.8
LEARNED_FRAMES = 4
"""Those with the shortest bonds; from more the two numbers are no better known."""


def reference(charge: int) -> ModelCrystal:
    """Electrons added weaken the bond by 0.1 eV each."""
    return ModelCrystal(bond=DEPTH + 0.1 * charge, length=LENGTH)


class Afraid(ModelCrystal):
    """Has no answer where sulfur atoms are bonded."""

    def calculate(self, atoms: Any = None, *options: Any) -> None:
        if shortest_bond(atoms) < NO_ANSWER:
            raise RuntimeError("the self-consistent field did not converge")
        super().calculate(atoms, *options)


NO_ANSWER = 2.6
"""Å."""


def afraid() -> Afraid:
    return Afraid(DEPTH, LENGTH)


class Ridge(ModelCrystal):
    """Two atoms on either side of v_Mg, which lie there by symmetry, gain energy if both move the same way."""

    def calculate(self, atoms: Any = None, *options: Any) -> None:
        super().calculate(atoms, *options)
        if len(self.atoms) != RIDGE_ATOMS:
            return
        z = self.atoms.positions[:, 2]
        height = self.atoms.cell[0, 2] / 2
        along = z[BESIDE[0]] + z[BESIDE[1]] - 2 * z[OPPOSITE]
        along -= height * np.round(along / height)
        energy, force = -RIDGE * along**2 + STOP * along**4, 2 * RIDGE * along - 4 * STOP * along**3
        self.results["energy"] += energy
        self.results["free_energy"] += energy
        self.results["forces"][[*BESIDE, OPPOSITE], 2] += force * np.array([1.0, 1.0, -2.0])


RIDGE_ATOMS, BESIDE, OPPOSITE = 31, (11, 13), 6
RIDGE, STOP = 0.8, 0.4
"""eV/Å² and eV/Å⁴."""


def ridge() -> Ridge:
    return Ridge(DEPTH, LENGTH)


def own(name: str) -> str:
    """Name of a reference of this file."""
    return f"ase:{Path(__file__)}:{name}"


@dataclass(frozen=True)
class Crystal:
    """The model crystal as a surrogate."""

    info: SurrogateInfo
    bond: tuple[float, float]

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        return [said(self.bond, structure) for structure in structures]


def shortest_bond(atoms: Atoms) -> float:
    """Shortest distance between sulfur atoms, Å."""
    sulfur = atoms[atoms.numbers == 16]
    return float(sulfur.get_all_distances(mic=True)[np.triu_indices(len(sulfur), 1)].min())


def said(bond: Sequence[float], structure: Atoms) -> Prediction:
    atoms = structure.copy()
    atoms.calc = ModelCrystal(*bond)
    return Prediction(atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())


def load(name: str, settings: SurrogateSettings) -> Crystal:
    """What the entry point of a package would name: `crystal`, or `crystal:FILE`."""
    file = name.partition(":")[2]
    bond = json.loads(Path(file).read_text()) if file else UNTOUCHED
    return Crystal(SurrogateInfo(name, "tests", "not told", "", frozenset({"Mg", "S"})), tuple(bond))


def bond_of(base: str) -> tuple[float, float]:
    """Depth and length of a surrogate, by its name or folder."""
    folder = Path(base)
    if not is_model_folder(folder):
        return UNTOUCHED
    return tuple(json.loads((folder / read_manifest(folder).members[0].weights).read_text()))


@dataclass
class Tuner:
    """Stands for `tuning.tune`.

    Attributes:
        learns_from: frames that it takes notice of.
        calls: base, frames and folder of each call that had something to do.
    """

    learns_from: Callable[[LabelledFrame], bool] = lambda frame: True
    calls: list[tuple[str, list[LabelledFrame], Path]] = field(default_factory=list)

    def __call__(
        self,
        base: str,
        frames: Sequence[LabelledFrame],
        folder: Path,
        settings: TuningSettings,
        device: Device,
        progress: Progress,
    ) -> None:
        if is_model_folder(folder):
            return
        self.calls.append((base, list(frames), folder))
        start = np.array(bond_of(base))
        bond = start + PART_OF_THE_WAY * (self._fit(start, frames) - start)
        weights = folder / "member-0" / "weights.json"
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.write_text(json.dumps(bond.tolist()))
        origins = [frame.origin for frame in frames]
        seen = TrainedOn(
            hosts=tuple(sorted({origin.host for origin in origins})),
            elements=("Mg", "S"),
            charges=tuple(sorted({origin.charge for origin in origins})),
            method=origins[0].method,
            verdict="not judged",
            finding="",
        )
        member = Member("member-0/weights.json", weights_digest(weights))
        digest, before = frames_digest(frames), untouched_of(base)
        write_manifest(folder, Manifest(FAMILY, base, (member,), seen, {}, digest, {}, {}, {}, untouched=before))

    def _fit(self, start: np.ndarray, frames: Sequence[LabelledFrame]) -> np.ndarray:
        known = sorted(filter(self.learns_from, frames), key=lambda frame: shortest_bond(frame.atoms))[:LEARNED_FRAMES]
        if not known:
            return start

        unbound = [said((0.0, LENGTH), frame.atoms).forces for frame in known]
        missing = np.ravel([frame.prediction.forces - forces for frame, forces in zip(known, unbound, strict=True)])

        def pull(length: float) -> np.ndarray:
            """Forces of a bond 1 eV deep."""
            bound = [said((1.0, length), frame.atoms).forces for frame in known]
            return np.ravel(bound) - np.ravel(unbound)

        def depth(forces: np.ndarray) -> float:
            return float(np.clip(forces @ missing / (forces @ forces + 1e-9), 0.0, 6.0))

        def error(length: float) -> float:
            forces = pull(length)
            return float(np.sum((depth(forces) * forces - missing) ** 2))

        found = minimize_scalar(
            error,
            bounds=(1.8, 2.6),
            method="bounded",
            options={"xatol": 1e-3},
        )
        return np.array([depth(pull(found.x)), found.x])


class ThreadWorker:
    """A worker of the pool that is a thread: the same serving code, without the second that a process takes."""

    answers: ClassVar[int] = 0
    """Of all workers so far."""

    def __init__(self, reference: str, threads: int) -> None:
        self.connection, far = Pipe()
        Thread(target=worker.serve, args=(far, reference), daemon=True).start()

    def send(self, job: str, charge: int, atoms: Atoms) -> None:
        self.connection.send(worker.Task(job, charge, atoms))

    def receive(self) -> Any:
        ThreadWorker.answers += 1
        return self.connection.recv()

    def is_alive(self) -> bool:
        return True

    def kill(self) -> None:
        self.connection.close()


@contextmanager
def learning_crystal(tune: Callable[..., None] | None = None) -> Iterator[None]:
    """The family as an installed package would bring it, and what tunes it."""
    brought = EntryPoint(FAMILY, "workflow.learning_crystal:load", registry.GROUP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", lambda group: [*entry_points(group=group), brought])
        patch.setattr(settling, "trainable_families", lambda: (FAMILY, "m3gnet"))
        patch.setattr(settling, "find_spec", lambda name: name)
        patch.setattr(learner, "tune", tune or Tuner())
        patch.setattr(pool, "Worker", ThreadWorker)
        yield


def settings(**overrides: Any) -> SearchSettings:
    quick = {
        "host": {"keep": True},
        "supercell": {"min_image_distance": 8.0, "min_atoms": 30},
        "sampling": {"distortions": (-0.6, -0.5, -0.4, 0.3)},
        "surrogate": {"name": FAMILY},
        "scouting": {"force": 0.05, "max_steps": 150},
        "refinement": {"force": 0.05},
        "reference": {"name": own("reference"), "workers": 1},
        "learn": {"first_relaxations": 0, "first_points": 2, "points": 2, "checks": 1},
        "strategy": "learn",
    }
    return merge(merge(SearchSettings(), quick, "test"), overrides, "test")


def small(**overrides: Any) -> SearchSettings:
    """Two minima from three starts."""
    return merge(settings(sampling={"distortions": (-0.4, 0.3)}), overrides, "test")


def write_template(folder: Path) -> Path:
    """A campaign up to its sampling structures, for `begun`."""
    search(write_host(folder), folder / "template", settings(), until=Until.SAMPLING)
    return folder / "template"


def begun(template: Path, folder: Path, settings: SearchSettings) -> Path:
    """A campaign in `folder` with other settings, without the seconds that doped takes for each new one."""
    _, source = read_campaign(template)
    return fork_campaign(template, settings, source).rename(folder)


def gone_on(folder: Path, progress: Progress | None = None) -> SearchResult:
    """Its answer, from wherever it stands."""
    return resume(folder, Until.ANSWER, progress or SilentProgress())


def records(folder: Path) -> dict[str, LearnRecord]:
    """What the loops of a campaign have recorded, by the defect's label."""
    with reopen_campaign(folder) as campaign:
        return read_records(campaign)


def tasks(folder: Path) -> list[Task]:
    """Everything that the reference was asked, stage by stage."""
    record = Record(folder / "campaign.db")
    return [task for stage in ANSWERING_STAGES for task in record.tasks(stage)]


def write_host(folder: Path) -> Path:
    path = folder / "MgS.cif"
    write(path, bulk("MgS", "rocksalt", a=5.8))
    return path
