"""What a search that starts from a tuned surrogate may take over from where that comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from defectscout.workflow.store import stored_models
from defectscout.workflow.store_entry import FRAMES, StoredModel


@dataclass(frozen=True, slots=True)
class Earlier:
    """Where frames of earlier searches lie.

    Attributes:
        models: all models of the store, where the surrogate is one of them.
        frames: where it is not, the dataset in the surrogate's own folder; None if there is none.
    """

    models: tuple[StoredModel, ...] = ()
    frames: Path | None = None


def earlier(surrogate: str) -> Earlier:
    """Where the frames lie that a search which starts from `surrogate` may use; nowhere if that is an untouched one.

    Raises:
        InputFileError: if the store cannot be read.
    """
    model = Path(surrogate).expanduser()
    models = stored_models()
    if any(one.model == model for one in models):
        return Earlier(models=models)
    own = model / FRAMES
    return Earlier(frames=own) if own.is_file() else Earlier()
