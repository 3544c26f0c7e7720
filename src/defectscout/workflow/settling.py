"""Settling what the settings leave open, before a campaign records them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from defectscout.core.errors import InputFileError, MissingExtraError, SettingsError
from defectscout.core.progress import Progress
from defectscout.learning.registry import trainable_families
from defectscout.surrogates.model_folder import is_model_folder, read_manifest
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.campaign import RECORD_NAME, Source, read_campaign
from defectscout.workflow.nearest import resolve_nearest
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.stages.host import read_host
from defectscout.workflow.stages.scout import with_lasting_surrogate

NEAREST: Final = "nearest"
"""Name of the surrogate that asks for the nearest earlier one in the store."""


def settled(
    settings: SearchSettings, source: Source, folder: Path, to_the_answer: bool, progress: Progress
) -> SearchSettings:
    """The settings as a campaign records them: the strategy chosen, the surrogate found from anywhere.

    A campaign that is gone on with keeps what was settled when it began, whatever the store holds since.

    Args:
        settings: as asked for.
        source: the host.
        folder: the campaign folder.
        to_the_answer: whether the search goes on to its answer, as it must where it learns.
        progress: told what was chosen, and why.

    Raises:
        InputFileError: if there is no earlier surrogate near enough, and one was asked for.
        SettingsError: if a search is to learn that has no reference, or a surrogate that cannot be tuned.
        MissingExtraError: if it is to learn, and what trains is not installed.
    """
    if settings.surrogate.name == NEAREST:
        settings = _with_nearest(settings, source, folder, progress)
    settings = with_lasting_surrogate(settings)
    if settings.strategy == "auto" and (folder / RECORD_NAME).exists():
        recorded, _ = read_campaign(folder)
        return settings.model_copy(update={"strategy": recorded.strategy})
    reason = why_not_learn(settings)
    if settings.strategy == "learn" and reason:
        if reason == NO_EXTRA:
            raise MissingExtraError("Learning during a search", "lightning", "train")
        raise SettingsError(f"The search cannot learn: {reason}. Search without learning (--no-learn).")
    if settings.strategy != "auto":
        return settings
    if reason or not to_the_answer:
        if reason and to_the_answer and settings.reference.name != "none":
            progress.message(f"The surrogate scouts as it is, without learning: {reason}.")
        return settings.model_copy(update={"strategy": "scout"})
    return settings.model_copy(update={"strategy": "learn"})


NO_EXTRA: Final = "the extra 'train' is not installed (pip install 'defectscout[train]')"


def why_not_learn(settings: SearchSettings) -> str:
    """What keeps a search from learning; empty if nothing does."""
    if settings.reference.name == "none":
        return "there is no reference to learn from (--reference none)"
    if settings.surrogate.lattice == "own":
        return "surrogate.lattice = own, and what the reference says of the host's lattice would undo it"
    return why_not_tunable(settings.surrogate.name)


def why_not_tunable(name: str) -> str:
    """What keeps a surrogate, by its name or folder, from being tuned; empty if nothing does."""
    folder = Path(name).expanduser()
    family = read_manifest(folder).family if is_model_folder(folder) else name.partition(":")[0].lower()
    if family not in trainable_families():
        return f"the surrogate {name} cannot be tuned (there are: {', '.join(trainable_families())})"
    return "" if find_spec("lightning") is not None else NO_EXTRA


def _with_nearest(settings: SearchSettings, source: Source, folder: Path, progress: Progress) -> SearchSettings:
    if (folder / RECORD_NAME).exists():
        recorded, _ = read_campaign(folder)
        return _with_surrogate(settings, recorded.surrogate.name)
    host = read_host(source.name, settings)
    offer = resolve_nearest(host, settings.defects.charges or (0,), settings.reference.name, progress=progress)
    if offer is None:
        default = SurrogateSettings().name
        raise InputFileError(
            f"The store holds no surrogate that is near enough to {host.formula} (`defectscout models list --for "
            f"{source.name}` says why). Start from an untouched one, such as --surrogate {default}."
        )
    progress.message(offer.sentence)
    return _with_surrogate(settings, str(offer.model.model))


def _with_surrogate(settings: SearchSettings, name: str) -> SearchSettings:
    return settings.model_copy(update={"surrogate": settings.surrogate.model_copy(update={"name": name})})
