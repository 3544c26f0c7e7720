"""Tuning the surrogate on what the reference has answered so far."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from defectscout.core.progress import Progress
from defectscout.learning.fit import fit
from defectscout.learning.frames import DefectId, LabelledFrame
from defectscout.learning.labelling import network_energies
from defectscout.learning.registry import load_trainable
from defectscout.learning.settings import TrainSettings
from defectscout.learning.trainable import Trainable
from defectscout.surrogates.elements import check_known
from defectscout.surrogates.model_folder import (
    Manifest,
    Member,
    TrainedOn,
    is_model_folder,
    member_path,
    read_manifest,
    untouched_of,
    weights_digest,
    write_manifest,
)
from defectscout.surrogates.settings import Device
from defectscout.workflow.campaign import TRAINING_PACKAGES, package_versions
from defectscout.workflow.learn.settings import TuningSettings

WATCHED_FRAMES: Final = 4
"""Frames whose errors are logged after each epoch; they are learned from, too, so that they choose nothing."""

LOWEST_FRAMES: Final = 10
"""Frames of a defect that put the surrogate's energies on the reference's scale: those low in energy, where ranks
matter."""

_LEFTOVERS: Final = ("last.ckpt", "best.pt", "training.json")


def tune(
    base: str,
    frames: Sequence[LabelledFrame],
    folder: Path,
    settings: TuningSettings,
    device: Device,
    progress: Progress,
) -> None:
    """Train the surrogate `base` on `frames`, all of them, and write a model folder that `load_surrogate` reads.

    There are too few frames to hold any back, so the weights of the last epoch are kept: what judges a round is
    what the reference says of the structures that the tuned surrogate proposes. A call that was cut short goes
    on from its last whole epoch, and a finished folder is left as it is.

    Args:
        base: an untouched surrogate, or the folder of an earlier round, whose members are trained on.
        frames: of one method; charge states of one defect are not told apart.
        folder: the model folder; made if need be.
        settings: epochs, learning rates and weights.
        device: as in TrainSettings.
        progress: told about epochs.

    Raises:
        TrainingError: if the loss is not finite.
        UnsupportedElementError: frames with an element that the model cannot take.
    """
    if is_model_folder(folder):
        return
    digest = frames_digest(frames)
    members: list[Member] = []
    references: dict[str, float] = {}
    family = ""
    for number in range(settings.ensemble):
        member_folder = folder / f"member-{number}"
        training = _train_settings(_member_of(base, number), settings, len(frames), number, device)
        trainable = load_trainable(training)
        family = trainable.family
        symbols = {symbol for frame in frames for symbol in frame.atoms.get_chemical_symbols()}
        check_known(family, trainable.elements, symbols)
        references = element_references(trainable, frames, _known_references(base))
        energy = _reference_energy(trainable, frames, references)
        watched = frames[-WATCHED_FRAMES:]
        fit(trainable, frames, watched, energy, training, member_folder, identity=digest, progress=progress)
        saved = trainable.save(member_folder / "weights", references, tuned=True)
        members.append(Member(str(saved.relative_to(folder)), weights_digest(saved)))
        for name in _LEFTOVERS:
            (member_folder / name).unlink(missing_ok=True)
    write_manifest(folder, _manifest(family, base, tuple(members), frames, references, digest, settings))


def learnable(frames: Sequence[LabelledFrame], settings: TuningSettings) -> list[LabelledFrame]:
    """The frames that may be learned from: those without too large a force."""
    return [frame for frame in frames if frame.prediction.fmax <= settings.max_force]


def not_learned_from(frames: Sequence[LabelledFrame], settings: TuningSettings) -> str:
    """How many frames `learnable` leaves out, and why; empty if none."""
    left_out = len(frames) - len(learnable(frames, settings))
    if not left_out:
        return ""
    return (
        f"{left_out} of {len(frames)} frames are not learned from: forces above {settings.max_force:g} eV/Å "
        "(learn.tuning.max_force)"
    )


def frames_digest(frames: Sequence[LabelledFrame]) -> str:
    """Hash of configurations, energies and forces, in their order."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(frame.atoms.numbers.tobytes())
        digest.update(np.ascontiguousarray(frame.atoms.positions).tobytes())
        digest.update(np.float64(frame.prediction.energy).tobytes())
        digest.update(np.ascontiguousarray(frame.prediction.forces).tobytes())
    return f"sha256:{digest.hexdigest()}"


def element_references(
    trainable: Trainable, frames: Sequence[LabelledFrame], known: Mapping[str, float]
) -> dict[str, float]:
    """Reference energies with which the network's energies are on the scale of the frames, eV.

    From those that the model came with the change of least norm is taken; a loop on one host cannot tell its
    elements apart, and need not: only differences within a defect matter to it. Elements in `known`, those of an
    earlier tuning on the same method, stay as they are.
    """
    start = dict(trainable.references) | dict(known)
    lowest = [frame for members in _by_defect(frames).values() for frame in _lowest(members)]
    symbols = sorted({symbol for frame in lowest for symbol in frame.atoms.get_chemical_symbols()} - known.keys())
    if not symbols:
        return start
    counts = np.array([[frame.atoms.get_chemical_symbols().count(s) for s in symbols] for frame in lowest], dtype=float)
    sums = np.array([sum(start[symbol] for symbol in frame.atoms.get_chemical_symbols()) for frame in lowest])
    expected = np.array([frame.prediction.energy for frame in lowest])
    left = expected - sums - network_energies(trainable, lowest)
    change, *_ = np.linalg.lstsq(counts, left, rcond=1e-7)
    return start | {symbol: start[symbol] + float(value) for symbol, value in zip(symbols, change, strict=True)}


def _reference_energy(
    trainable: Trainable, frames: Sequence[LabelledFrame], references: Mapping[str, float]
) -> Callable[[LabelledFrame], float]:
    """Sum of the element references and one constant for each defect, so that differences are learned alone."""

    def of_elements(frame: LabelledFrame) -> float:
        return sum(references[symbol] for symbol in frame.atoms.get_chemical_symbols())

    constants: dict[tuple[DefectId, int], float] = {}
    for key, members in _by_defect(frames).items():
        lowest = _lowest(members)
        expected = np.array([frame.prediction.energy - of_elements(frame) for frame in lowest])
        constants[key] = float(np.median(expected - network_energies(trainable, lowest)))

    def energy(frame: LabelledFrame) -> float:
        return of_elements(frame) + constants[frame.origin.defect_id, len(frame.atoms)]

    return energy


def _by_defect(frames: Sequence[LabelledFrame]) -> dict[tuple[DefectId, int], list[LabelledFrame]]:
    groups: dict[tuple[DefectId, int], list[LabelledFrame]] = defaultdict(list)
    for frame in frames:
        groups[frame.origin.defect_id, len(frame.atoms)].append(frame)
    return groups


def _lowest(frames: Sequence[LabelledFrame]) -> list[LabelledFrame]:
    return sorted(frames, key=lambda frame: frame.prediction.energy)[:LOWEST_FRAMES]


def _member_of(base: str, number: int) -> str:
    """The network that member `number` starts from: the same member of an ensemble, or the one that there is."""
    folder = Path(base).expanduser()
    if not is_model_folder(folder):
        return base
    manifest = read_manifest(folder)
    member = manifest.members[number % len(manifest.members)]
    return f"{manifest.family}:{member_path(folder, member)}"


def _known_references(base: str) -> Mapping[str, float]:
    folder = Path(base).expanduser()
    return read_manifest(folder).references if is_model_folder(folder) else {}


def _train_settings(base: str, settings: TuningSettings, n_frames: int, number: int, device: Device) -> TrainSettings:
    epochs = max(1, min(settings.epochs, round(settings.frames_seen / n_frames)))
    return TrainSettings(
        base=base,
        epochs=epochs,
        patience=epochs,
        learning_rate=settings.learning_rate,
        final_learning_rate=settings.final_learning_rate,
        energy_weight=settings.energy_weight,
        force_weight=settings.force_weight,
        batch_size=settings.batch_size,
        select_by="last",
        seed=settings.seed + number,
        device=device,
    )


def _manifest(
    family: str,
    base: str,
    members: tuple[Member, ...],
    frames: Sequence[LabelledFrame],
    references: Mapping[str, float],
    digest: str,
    settings: TuningSettings,
) -> Manifest:
    origins = [frame.origin for frame in frames]
    elements = sorted({symbol for frame in frames for symbol in frame.atoms.get_chemical_symbols()})
    return Manifest(
        family=family,
        base=base,
        members=members,
        trained_on=TrainedOn(
            hosts=tuple(sorted({origin.host for origin in origins})),
            elements=tuple(elements),
            charges=tuple(sorted({origin.charge for origin in origins if not origin.is_bulk})),
            method=origins[0].method,
            verdict="not judged",
            finding="It was tuned in a learning loop, which judges it by what the reference says of its proposals.",
        ),
        references={symbol: references[symbol] for symbol in elements},
        dataset=digest,
        settings=settings.model_dump(mode="json"),
        packages=package_versions(TRAINING_PACKAGES),
        errors={},
        untouched=untouched_of(base),
    )
