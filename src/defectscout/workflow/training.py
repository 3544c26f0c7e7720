"""From a dataset to a surrogate that a search can use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from defectscout.core.errors import TrainingError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.evaluation.errors import ErrorAccumulator
from defectscout.evaluation.guard import Judgement, judge
from defectscout.evaluation.metrics import ErrorTable, error_table
from defectscout.evaluation.predicting import predict_frames
from defectscout.learning.element_references import ElementReferences, ReferenceItem, fit_references
from defectscout.learning.fit import Fit, fit
from defectscout.learning.frame_sampling import spaced
from defectscout.learning.frames import DefectId, IndexRow, LabelledFrame
from defectscout.learning.labelling import network_energies, replayed
from defectscout.learning.registry import load_trainable
from defectscout.learning.settings import TrainSettings
from defectscout.learning.trainable import Trainable
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.elements import check_known
from defectscout.surrogates.model_folder import (
    CARD,
    Manifest,
    Member,
    TrainedOn,
    untouched_of,
    weights_digest,
    write_manifest,
)
from defectscout.surrogates.registry import load_described, load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.campaign import TRAINING_PACKAGES, package_versions
from defectscout.workflow.model_card import model_card
from defectscout.workflow.training_data import TrainingData

BULK_FRAMES_FOR_REFERENCES = 20
"""Bulk frames of one composition that the element references are fitted to: more of them say the same."""

NOTHING_LEARNED = "No epoch of training was better on the validation frames than the weights that it started from."

FRAMES_FOR_CONSTANTS = 20
"""Frames of one defect that its constant is averaged over."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a training gave.

    Attributes:
        folder: the model folder.
        manifest: what it says of itself.
        fits: the training of each member.
        errors: errors of the finished model on the frames of each subset, by the subset's name.
        judgement: against the untouched model.
        notes: what the reader should know.
    """

    folder: Path
    manifest: Manifest
    fits: tuple[Fit, ...]
    errors: dict[str, ErrorTable]
    judgement: Judgement
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrainedMember:
    """One trained network.

    Attributes:
        trainable: holds the weights that were kept.
        fit: how training went.
        references: reference energy of each element that it can take, eV.
        notes: what the fit of the references has to say.
    """

    trainable: Trainable
    fit: Fit
    references: dict[str, float]
    notes: tuple[str, ...]


def train(
    data: TrainingData,
    settings: TrainSettings,
    folder: Path,
    *,
    keep_worse: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Train a surrogate, judge it against the untouched one, and write its folder.

    The folder is a model only once its manifest is written, which is the last step; a training that was cut short
    goes on from its last whole epoch when it is called again with the same data and settings.

    Args:
        data: frames.
        settings: everything else.
        folder: the model folder; made if need be.
        keep_worse: write a finished model even if it does worse on unseen frames than the untouched one.
        progress: told about epochs and findings.

    Raises:
        TrainingError: as `learning.fit.fit`; or the trained model is worse and `keep_worse` is not given.
        UnsupportedElementError: frames with an element that the model cannot take.
    """
    progress = progress or SilentProgress()
    fits: list[Fit] = []
    members: list[Member] = []
    notes = list(data.notes)
    references: dict[str, float] = {}
    for number in range(settings.ensemble):
        member_folder = folder / f"member-{number}"
        member_settings = settings.model_copy(update={"seed": settings.seed + number, "ensemble": 1})
        if settings.ensemble > 1:
            progress.message(f"Member {number + 1} of {settings.ensemble}")
        member = train_member(data, member_settings, member_folder, progress)
        trainable, references = member.trainable, member.references
        notes += [note for note in member.notes if note not in notes]
        saved = trainable.save(member_folder / "weights", references, tuned=True)
        fits.append(member.fit)
        _check_learned(member.fit, settings, keep_worse)
        members.append(Member(str(saved.relative_to(folder)), weights_digest(saved)))
    family = trainable.family
    learned = all(fit.kept.epoch > 0 for fit in fits)
    manifest = Manifest(
        family=family,
        base="" if settings.train == "scratch" else settings.base,
        members=tuple(members),
        trained_on=TrainedOn(data.hosts, data.elements, data.charges, data.method, "not judged", ""),
        references={symbol: references[symbol] for symbol in data.elements},
        dataset=data.digest,
        settings=settings.model_dump(mode="json"),
        packages=package_versions(TRAINING_PACKAGES),
        errors={},
        charge_as_input=settings.architecture.charge_as_input,
        untouched="" if settings.train == "scratch" else untouched_of(settings.base),
    )
    # Judged as users will load it, so that what was saved is what is judged.
    tuned = load_described(folder, manifest, SurrogateSettings(name=str(folder), device=settings.device))
    errors = {name: _errors(tuned, data, rows, progress) for name, rows in data.held_out.items()}
    judgement = _judge(data, settings, tuned, errors, progress) if learned else Judgement("worse", NOTHING_LEARNED)
    trained_on = replace(manifest.trained_on, verdict=judgement.verdict, finding=judgement.sentence)
    manifest = replace(
        manifest, trained_on=trained_on, errors={name: _summary(table) for name, table in errors.items()}
    )
    trained = Trained(folder, manifest, tuple(fits), errors, judgement, tuple(notes))
    (folder / CARD).write_text(model_card(manifest, fits, errors, notes))
    if judgement.verdict == "worse" and not keep_worse:
        raise TrainingError(
            f"{judgement.sentence} No model was made of it: a search would miss what the untouched model still finds. "
            f"What was tried is described in {folder / CARD}. Train with fewer layers (--train last), smaller steps "
            "(--learning-rate), --average-with-start, --replay, or more and more varied defects; or take it as it is "
            "with --keep-worse."
        )
    write_manifest(folder, manifest)
    return trained


def train_member(data: TrainingData, settings: TrainSettings, folder: Path, progress: Progress) -> TrainedMember:
    """Train one network; `folder` receives its checkpoints and logs.

    Raises:
        TrainingError: as `learning.fit.fit`.
        UnsupportedElementError: frames with an element that the model cannot take.
    """
    trainable = load_trainable(settings)
    symbols = {symbol for rows in (data.train, data.validation) for row in rows for symbol, _ in row.composition}
    check_known(trainable.family, trainable.elements, symbols)
    references = _references(trainable, data, settings)
    values = references.values[data.method]
    for note in references.notes:
        progress.message(note)

    def elements_energy(frame: LabelledFrame) -> float:
        return sum(values[symbol] for symbol in frame.atoms.get_chemical_symbols())

    constants = _constants(trainable, data, elements_energy) if settings.energy_zero == "defect" else {}

    def reference_energy(frame: LabelledFrame) -> float:
        return elements_energy(frame) + constants.get((frame.origin.defect_id, len(frame.atoms)), 0.0)

    frames = data.frames(data.train)
    replay = replayed(trainable, frames, settings.replay, settings.seed) if settings.replay.frames else []
    identity = f"{data.digest} {sorted(row.row for row in data.train)} {sorted(row.row for row in data.validation)}"
    fitted = fit(
        trainable, frames, data.frames(data.validation), reference_energy, settings, folder,
        replay=replay, identity=identity, progress=progress,
    )  # fmt: skip
    return TrainedMember(trainable, fitted, dict(trainable.references) | dict(values), references.notes)


def _check_learned(fit: Fit, settings: TrainSettings, keep_worse: bool) -> None:
    if fit.kept.epoch > 0 or keep_worse:
        return
    last = fit.history[-1]
    raise TrainingError(
        f"{NOTHING_LEARNED} Its validation loss was {fit.kept.val_loss:.3g} before and {last.val_loss:.3g} after "
        f"{last.epoch} epochs. No model was made. Lower learning_rate ({settings.learning_rate:g}), train longer, "
        "or look whether the validation frames are too few or too different; or take it as it is with --keep-worse."
    )


def _references(trainable: Trainable, data: TrainingData, settings: TrainSettings) -> ElementReferences:
    """Fit the references to training frames; elements that only validation frames have are fitted to those."""
    fitted = fit_references(_items(trainable, data, data.train, settings), settings)
    known = dict(fitted.values[data.method])
    missing = sorted({symbol for row in data.validation for symbol, _ in row.composition} - known.keys())
    if not missing:
        return fitted
    items = [
        replace(
            item,
            energy=item.energy - sum(known.get(symbol, 0.0) * count for symbol, count in item.composition.items()),
            composition={symbol: count for symbol, count in item.composition.items() if symbol in missing},
        )
        for item in _items(trainable, data, data.validation, settings)
        if set(missing) & set(item.composition)
    ]
    rest = fit_references(items, settings.model_copy(update={"element_references": "all"}))
    note = (
        f"{', '.join(missing)} occur in no training frame: their reference energies come from validation frames, so "
        "that the absolute energies of those say nothing about the model."
    )
    return ElementReferences({data.method: known | dict(rest.values[data.method])}, (*fitted.notes, note))


def _constants(
    trainable: Trainable, data: TrainingData, elements_energy: Callable[[LabelledFrame], float]
) -> dict[tuple[DefectId, int], float]:
    """For each defect, in each supercell, how far the untouched network is off on average, eV.

    Taken off the energies to be learned, they leave the network what a search needs, the differences between
    structures of one defect, and spare it the formation energies, whose errors are the same for all of them.
    """
    groups: dict[tuple[DefectId, int], list[IndexRow]] = defaultdict(list)
    for row in (*data.train, *data.validation):
        groups[row.origin.defect_id, row.n_atoms].append(row)
    constants: dict[tuple[DefectId, int], float] = {}
    for key, rows in groups.items():
        frames = data.frames(_evenly(sorted(rows, key=lambda row: row.energy), FRAMES_FOR_CONSTANTS))
        expected = np.array([frame.prediction.energy - elements_energy(frame) for frame in frames])
        constants[key] = float((expected - network_energies(trainable, frames)).mean())
    return constants


def _items(
    trainable: Trainable, data: TrainingData, rows: Sequence[IndexRow], settings: TrainSettings
) -> list[ReferenceItem]:
    """What the fit of the references needs: some bulk frames, and of each defect the lowest, or all."""
    chosen: list[IndexRow] = []
    groups: dict[Any, list[IndexRow]] = defaultdict(list)
    for row in rows:
        groups[row.origin.defect_id, row.composition].append(row)
    for (defect_id, _), members in groups.items():
        if settings.element_references == "all":
            chosen += members
        elif defect_id.is_bulk:
            chosen += _evenly(members, BULK_FRAMES_FOR_REFERENCES)
        else:
            chosen.append(min(members, key=lambda row: row.energy))
    frames = data.frames(chosen)
    # From scratch the network says nothing yet; isolated atoms are what they are.
    fresh = settings.train == "scratch" or settings.element_references == "isolated"
    network = np.zeros(len(chosen)) if fresh else network_energies(trainable, frames)
    return [
        ReferenceItem(
            composition=dict(row.composition),
            energy=row.energy - float(energy),
            is_bulk=row.origin.is_bulk,
            method=row.origin.method,
            defect=str(row.origin.defect_id),
            total_energy=row.energy,
        )
        for row, energy in zip(chosen, network, strict=True)
    ]


def _evenly(rows: Sequence[IndexRow], count: int) -> list[IndexRow]:
    return [rows[position] for position in spaced(len(rows), count)]


def _judge(
    data: TrainingData, settings: TrainSettings, tuned: Surrogate, errors: Mapping[str, ErrorTable], progress: Progress
) -> Judgement:
    if settings.train == "scratch":
        return Judgement("not judged", "The model was trained from scratch: there is no untouched one to compare with.")
    rows, of_what = data.judging()
    # Mostly they are the frames of a whole subset, on which the tuned model has been evaluated.
    known = next((errors[name] for name, subset in data.held_out.items() if subset == rows), None)
    after = known or _errors(tuned, data, rows, progress)
    untouched = load_surrogate(SurrogateSettings(name=settings.base, device=settings.device))
    return judge(_errors(untouched, data, rows, progress).overall, after.overall, of_what)


def _errors(surrogate: Surrogate, data: TrainingData, rows: Sequence[IndexRow], progress: Progress) -> ErrorTable:
    accumulator = ErrorAccumulator()
    for frame, prediction in predict_frames(surrogate, data.frames(rows), progress, len(rows)):
        accumulator.add(frame, prediction)
    return error_table(accumulator.result())


def _summary(table: ErrorTable) -> dict[str, float | int]:
    """Overall errors as plain numbers; not-a-number where the frames do not determine them."""
    overall = table.overall
    return {
        "frames": overall.n_frames,
        "defects": overall.n_defects,
        "energy_mae_meV_per_atom": overall.energy.mae.value,
        "relative_energy_mae_eV": overall.relative.mae.value,
        "relative_energy_mae_below_5_eV_eV": overall.low.mae.value,
        "force_mae_meV_per_A": overall.force.mae.value,
        "stress_mae_GPa": overall.stress.mae.value,
        "spearman": overall.spearman.value,
    }
