"""Scouting stage: every sampling structure relaxes with the surrogate."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ase import Atoms
from pydantic import TypeAdapter

from defectscout.core.defect import Defect
from defectscout.core.errors import CalculationError, CampaignError, SettingsError
from defectscout.core.frames import Relaxation, RelaxationState
from defectscout.core.progress import Progress
from defectscout.evaluation.unfamiliar import Unfamiliar, unfamiliar
from defectscout.relaxation.records import Checkpoint, Start
from defectscout.surrogates.base import Surrogate, SurrogateInfo
from defectscout.surrogates.charge import with_charge
from defectscout.surrogates.own_lattice import InOwnLattice, own_scale, pressure
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.record import SCOUT, Task, TaskKey
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.stages.convergence import ConvergenceMeter
from defectscout.workflow.stages.sampling import sampling_structures

_INFO = TypeAdapter(SurrogateInfo)

NEGLIGIBLE = 0.5
"""Pressure below which a surrogate's lattice is not looked for, GPa."""

WORTH_SAYING = 0.01
"""Change of lengths from which on a search says that the surrogate's lattice is another."""


def load_checked_surrogate(settings: SearchSettings, defects: Sequence[Defect]) -> Surrogate:
    """The surrogate of the settings in the host's lattice, checked against the defects' elements.

    Raises:
        UnknownMethodError, MissingExtraError, ModelFileError: if it cannot be loaded.
        UnsupportedElementError: if it was not made for one of the elements.
        SettingsError: if it is to see its own lattice, and learned in that of a reference.
    """
    from defectscout.surrogates.registry import check_elements, load_surrogate

    surrogate = load_surrogate(settings.surrogate)
    if settings.surrogate.lattice == "own" and surrogate.info.trained_on is not None:
        raise SettingsError(
            f"surrogate.lattice = own: {surrogate.info.name} was tuned on frames of a reference, and learned the "
            "energies of minima in the lattice of these. Leave the setting out, or scout with an untouched model."
        )
    symbols = sorted({symbol for defect in defects for symbol in defect.atoms.get_chemical_symbols()})
    check_elements(surrogate.info, symbols)
    return surrogate


def with_lasting_surrogate(settings: SearchSettings) -> SearchSettings:
    """The settings as a campaign records them: a trained model is found from any working directory."""
    from defectscout.surrogates.registry import lasting_name

    name = lasting_name(settings.surrogate.name)
    return settings.model_copy(update={"surrogate": settings.surrogate.model_copy(update={"name": name})})


def unfamiliar_to(
    info: SurrogateInfo | None, formula: str, defect: Defect, settings: SearchSettings
) -> tuple[Unfamiliar, ...]:
    """What the search for a defect asks of the surrogate that it was not trained for; empty if that is not known."""
    if info is None or info.trained_on is None:
        return ()
    return unfamiliar(info.trained_on, formula, defect, settings.reference.name)


def warn_of_unfamiliar(
    info: SurrogateInfo, formula: str, defects: Sequence[Defect], settings: SearchSettings, progress: Progress
) -> None:
    """Say before anything is spent what the surrogate was not trained for, each thing once."""
    found = (item.sentence for defect in defects for item in unfamiliar_to(info, formula, defect, settings))
    for sentence in dict.fromkeys(found):
        progress.warn(sentence)


def load_recorded_surrogate(campaign: Campaign, defects: Sequence[Defect]) -> Surrogate:
    """The surrogate of the settings, which must still be the one that the campaign began to scout with; in its own
    lattice, where that is asked for.

    Raises:
        CalculationError: it has no lattice of its own near the host's.
        CampaignError: if its weights have changed since.
        DefectscoutError: see `load_checked_surrogate`.
    """
    surrogate = load_checked_surrogate(campaign.settings, defects)
    known = surrogate_info(campaign)
    if campaign.settings.surrogate.lattice == "own":
        scale = known.lattice_scale if known is not None else own_scale(surrogate, with_charge(defects[0].bulk, 0))
        surrogate = InOwnLattice(surrogate, scale)
    if known is not None and known.weights != surrogate.info.weights:
        raise CampaignError(
            f"The campaign in {campaign.folder} was scouted with other weights of {known.name} ({known.weights}) than "
            f"those that are there now ({surrogate.info.weights}), and energies of the two cannot be mixed. Put the "
            "old weights back, or start in another folder with -o."
        )
    return surrogate


def record_surrogate(campaign: Campaign, info: SurrogateInfo) -> None:
    """Record what scouts."""
    campaign.record.write_document("surrogate", _INFO.dump_json(info).decode())


def scout(campaign: Campaign, defects: Sequence[Defect], progress: Progress) -> None:
    """Relax the sampling structures of every defect with the surrogate; resume what was interrupted."""
    for defect in defects:
        starts = [(structure.label, structure.atoms) for structure in sampling_structures(campaign, defect)]
        campaign.record.add_tasks(SCOUT, defect.label, starts)
    tasks = campaign.record.tasks(SCOUT)
    if all(task.state.is_finished for task in tasks) and campaign.record.read_document("surrogate"):
        return
    surrogate = load_recorded_surrogate(campaign, defects)
    record_surrogate(campaign, surrogate.info)
    _say_lattice(surrogate, with_charge(defects[0].bulk, 0), progress)
    meter = ConvergenceMeter(campaign.settings.scouting)
    progress.stage("scouting", len(tasks))
    for task in tasks:
        if task.state.is_finished:
            meter.finish(str(task.key))
    _scout_together(campaign, defects, surrogate, meter, progress)
    progress.finish("scouting")


def _say_lattice(surrogate: Surrogate, crystal: Atoms, progress: Progress) -> None:
    """Say in which lattice it scouts, and warn where the host's is far from its own."""
    name, scale = surrogate.info.name, surrogate.info.lattice_scale
    if isinstance(surrogate, InOwnLattice):
        progress.message(f"{name} sees the host in its own lattice, {100 * (scale - 1):+.1f} % in every length.")
        return
    if surrogate.info.trained_on is not None:
        return  # it learned the energies of minima in the lattice of its reference
    try:
        felt = pressure(surrogate, crystal)
        if abs(felt) < NEGLIGIBLE:
            return
        change = own_scale(surrogate, crystal) - 1
    except CalculationError as error:
        progress.warn(str(error))
        return
    if abs(change) >= WORTH_SAYING:
        room = "less" if felt > 0 else "more"
        progress.warn(
            f"{name} would have the host's lattice {100 * change:+.1f} % in every length: as it is, it feels "
            f"{felt:+.1f} GPa, which favours minima that take {room} room. Where the lattice is that of another "
            "functional, scout in the surrogate's own: --set surrogate.lattice=own (without --learn)."
        )


def _scout_together(
    campaign: Campaign, defects: Sequence[Defect], surrogate: Surrogate, meter: ConvergenceMeter, progress: Progress
) -> None:
    """One batch over the sampling structures of all defects, which keeps a GPU busy to the end."""
    from defectscout.relaxation.batch import relax_batch

    keys: dict[str, TaskKey] = {}
    starts: list[Start] = []
    for defect in defects:
        for task in campaign.record.tasks(SCOUT, defect.label):
            if not task.state.is_finished:
                keys[str(task.key)] = task.key
                starts.append(replace(_start(task, defect.charge), label=str(task.key)))
    if not starts:
        return
    keeper = _keeper(campaign, keys, meter, progress)
    for relaxation in relax_batch(surrogate, starts, campaign.settings.scouting, on_step=keeper):
        key = keys[relaxation.label]
        campaign.record.finish(key, relaxation.state, relaxation.reason, relaxation.n_evaluations)
        meter.finish(str(key))
        if relaxation.state is RelaxationState.FAILED:
            progress.warn(f"{key.defect} {key.label}: scouting failed: {relaxation.reason}")
    progress.advance("scouting", int(meter.done))


def _start(task: Task, charge: int) -> Start:
    """Where a relaxation starts or goes on, with the charge state, which the record of structures does not hold."""
    checkpoint = task.checkpoint
    if checkpoint is not None:
        frame = checkpoint.frame
        checkpoint = replace(checkpoint, frame=replace(frame, atoms=with_charge(frame.atoms, charge)))
    return Start(task.key.label, with_charge(task.start, charge), checkpoint)


def _keeper(
    campaign: Campaign, keys: Mapping[str, TaskKey], meter: ConvergenceMeter, progress: Progress
) -> Callable[[Sequence[tuple[str, Checkpoint]]], None]:
    clock = time.monotonic()

    def keep(steps: Sequence[tuple[str, Checkpoint]]) -> None:
        nonlocal clock
        keyed = [(keys[label], checkpoint) for label, checkpoint in steps]
        campaign.record.write_steps(keyed, seconds=time.monotonic() - clock)
        clock = time.monotonic()
        for key, checkpoint in keyed:
            meter.update(str(key), checkpoint.frame.prediction, checkpoint.frame.step)
        step = max(checkpoint.frame.step for _, checkpoint in steps)
        progress.advance("scouting", meter.done, f"step {step}, {len(steps)} still moving")

    return keep


def scouted(campaign: Campaign, defect: Defect) -> tuple[Relaxation, ...]:
    """The recorded surrogate relaxations of a defect; empty if it was not scouted."""
    return tuple(task.as_relaxation() for task in campaign.record.tasks(SCOUT, defect.label))


def surrogate_info(campaign: Campaign) -> SurrogateInfo | None:
    """What was recorded of the surrogate, or None if nothing was scouted."""
    stored = campaign.record.read_document("surrogate")
    return _INFO.validate_json(stored) if stored is not None else None
