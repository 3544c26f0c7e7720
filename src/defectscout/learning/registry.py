"""Model families that can be trained, through the entry points `defectscout.trainables`."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

from defectscout.core.errors import UnknownMethodError
from defectscout.core.installed import entry_points
from defectscout.learning.settings import TrainSettings
from defectscout.learning.trainable import Trainable
from defectscout.surrogates.model_folder import is_model_folder, member_path, read_manifest

GROUP = "defectscout.trainables"


def load_trainable(settings: TrainSettings) -> Trainable:
    """The model that the settings name, ready to be trained.

    `base` is the name of a surrogate, or the folder of a model that was trained before, which is trained on (the
    first member of an ensemble). With `train = scratch` it is the name of a family.

    Raises:
        UnknownMethodError: if there is no such family, or it cannot be trained.
        MissingExtraError, ModelFileError, SettingsError: as the adapter.
    """
    name = settings.base
    folder = Path(name).expanduser()
    if is_model_folder(folder) and settings.train != "scratch":
        manifest = read_manifest(folder)
        name = f"{manifest.family}:{member_path(folder, manifest.members[0])}"
    family = name.partition(":")[0].lower()
    entry = _adapters().get(family)
    if entry is None:
        raise UnknownMethodError(
            f"There is no model family '{family}' that can be trained ('{name}'). There are: "
            f"{', '.join(trainable_families())}; or the folder of a model that was trained before."
        )
    trainable: Trainable = entry.load()(name, settings)
    return trainable


def trainable_families() -> tuple[str, ...]:
    """Names that adapters answer to, sorted. The packages that some need may be missing."""
    return tuple(sorted(_adapters()))


def _adapters() -> dict[str, EntryPoint]:
    return {entry.name.lower(): entry for entry in entry_points(GROUP)}
