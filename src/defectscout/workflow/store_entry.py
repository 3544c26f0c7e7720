"""One entry of the store of models: its files, and reading and writing what it says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from defectscout.core.errors import DatasetError, InputFileError, ModelFileError
from defectscout.core.files import write_atomically
from defectscout.learning.dataset import Dataset
from defectscout.learning.families import composition_of
from defectscout.surrogates.model_folder import MANIFEST, Manifest, is_model_folder, read_manifest

if TYPE_CHECKING:
    from pymatgen.core import Structure

ENTRY: Final = "entry.json"
FORMAT: Final = 1
MODEL: Final = "model"
FRAMES: Final = "frames.db"
HOST: Final = "host.cif"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A surrogate that an earlier campaign tuned, and what is known of it.

    Attributes:
        name: of the entry, which is the name of its folder.
        folder: the entry's folder.
        model: its model folder, as `--surrogate` takes it.
        formula: reduced formula of the host.
        charge: charge state of the defects.
        method: the reference whose energies it learned.
        defects: labels of the defects, such as `v_Cd_0`.
        n_frames: frames that are kept with it.
        family: adapter that evaluates the weights, such as `m3gnet`.
        base: the surrogate that tuning started from.
        hosts: reduced formulas of all hosts that it was tuned on, that of the entry first.
        elements: symbols that it was tuned on, sorted.
        verdict: how it does against the untouched model on unseen frames.
        finding: the verdict in a sentence.
        date: when it was stored, ISO 8601, UTC.
        campaign: where it comes from.
        weights: SHA-256 of its weights.
        frames: dataset with the frames that it learned from; None if they were not kept.
    """

    name: str
    folder: Path
    model: Path
    formula: str
    charge: int
    method: str
    defects: tuple[str, ...]
    n_frames: int
    family: str
    base: str
    hosts: tuple[str, ...]
    elements: tuple[str, ...]
    verdict: str
    finding: str
    date: str
    campaign: str
    weights: str
    frames: Path | None

    def host(self) -> Structure:
        """Primitive cell of the host.

        Raises:
            ModelFileError: if it cannot be read.
        """
        from defectscout.hosts.read import read_structure

        try:
            return read_structure(str(self.folder / HOST))
        except InputFileError as error:
            raise ModelFileError(f"The host of the stored model {self.name} cannot be read. {error}") from error

    @contextmanager
    def open_frames(self) -> Iterator[Dataset]:
        """The frames that it learned from, to be read in the context.

        Raises:
            DatasetError: if there are none, or they cannot be read.
        """
        if self.frames is None:
            raise DatasetError(f"The frames of the stored model {self.name} were not kept.")
        try:
            with Dataset.open(self.frames) as dataset:
                yield dataset
        except DatasetError as error:
            reason = str(error.__cause__ or error).rstrip(".")
            raise DatasetError(
                f"The frames {self.frames} of the stored model {self.name} cannot be read: {reason}. Restore them, or "
                f"take the model out with: defectscout models remove {self.name}"
            ) from error


@dataclass(frozen=True, slots=True)
class Damaged:
    """An entry of the store that cannot be used, and why."""

    name: str
    folder: Path
    reason: str

    @property
    def sentence(self) -> str:
        """What to tell the user."""
        return (
            f"The stored model {self.name} cannot be used: {self.reason}. Restore its folder {self.folder}, or take it "
            f"out with: defectscout models remove {self.name}"
        )


@dataclass(frozen=True, slots=True)
class EntryFile:
    """What `entry.json` holds."""

    formula: str
    charge: int
    method: str
    defects: tuple[str, ...]
    n_frames: int
    weights: str
    date: str
    campaign: str


def write_entry(folder: Path, entry: EntryFile) -> None:
    """Write it last: a folder without it is no entry."""
    content = {"format": FORMAT} | {name: getattr(entry, name) for name in EntryFile.__dataclass_fields__}
    write_atomically(folder / ENTRY, json.dumps(content, indent=1) + "\n")


def read_stored(folder: Path) -> StoredModel | Damaged:
    """The entry in a folder of the store. Weights are looked for but not read."""
    try:
        return _read(folder)
    except ModelFileError as error:
        return Damaged(folder.name, folder, str(error).rstrip("."))


def _read(folder: Path) -> StoredModel:
    entry = _entry(folder)
    manifest = _manifest(folder)
    frames = folder / FRAMES
    if entry.n_frames and not frames.is_file():
        raise ModelFileError(f"its {entry.n_frames} frames ({FRAMES}) are missing")
    if not (folder / HOST).is_file():
        raise ModelFileError(f"its host ({HOST}) is missing")
    seen = manifest.trained_on
    return StoredModel(
        name=folder.name,
        folder=folder,
        model=folder / MODEL,
        formula=entry.formula,
        charge=entry.charge,
        method=entry.method,
        defects=entry.defects,
        n_frames=entry.n_frames,
        family=manifest.family,
        base=manifest.base,
        hosts=tuple(dict.fromkeys((entry.formula, *seen.hosts))),
        elements=tuple(sorted({*composition_of(entry.formula), *seen.elements})),
        verdict=seen.verdict,
        finding=seen.finding,
        date=entry.date,
        campaign=entry.campaign,
        weights=entry.weights,
        frames=frames if entry.n_frames else None,
    )


def _entry(folder: Path) -> EntryFile:
    try:
        content: dict[str, Any] = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        written = content.pop("format")
        if written != FORMAT:
            raise ModelFileError(f"it has format {written}, and this version of defectscout reads {FORMAT}")
        content["defects"] = tuple(str(label) for label in content["defects"])
        entry = EntryFile(**content)
        kinds = {"formula": str, "charge": int, "method": str, "n_frames": int, "weights": str, "date": str}
        wrong = [name for name, kind in kinds.items() if not isinstance(getattr(entry, name), kind)]
        if wrong:
            raise ModelFileError(f"{ENTRY} has no proper {wrong[0]}")
        composition_of(entry.formula)
        return entry
    except FileNotFoundError:
        raise ModelFileError(f"{ENTRY} is missing") from None
    except ModelFileError:
        raise
    except Exception as error:
        raise ModelFileError(f"{ENTRY} cannot be read ({type(error).__name__}: {error})") from error


def _manifest(folder: Path) -> Manifest:
    model = folder / MODEL
    if not is_model_folder(model):
        raise ModelFileError(f"its model folder ({MODEL}/{MANIFEST}) is missing")
    manifest = read_manifest(model)
    missing = [member.weights for member in manifest.members if not (model / member.weights).exists()]
    if missing or not manifest.members:
        raise ModelFileError(f"its weights ({MODEL}/{', '.join(missing) or 'none named'}) are missing")
    return manifest
