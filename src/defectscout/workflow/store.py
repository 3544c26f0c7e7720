"""The store: surrogates that earlier campaigns tuned, with the frames that they learned from.

A folder with one folder for each model. An entry appears under its name when it is whole, so that
campaigns that end at the same time, and readers in between, do not disturb each other; entries that
cannot be used are reported.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from defectscout.core.defect import Host, charge_text
from defectscout.core.errors import DefectscoutError, InputFileError, ModelFileError, SettingsError
from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import LabelledFrame
from defectscout.surrogates.model_folder import (
    CARD,
    MANIFEST,
    Manifest,
    is_model_folder,
    member_path,
    read_manifest,
)
from defectscout.workflow.store_entry import (
    FRAMES,
    HOST,
    MODEL,
    Damaged,
    EntryFile,
    StoredModel,
    read_stored,
    write_entry,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ["Damaged", "Store", "StoredModel", "forget", "keep", "read_store", "store_folder", "stored", "stored_models"]

VARIABLE: Final = "DEFECTSCOUT_STORE"
PART: Final = ".part"
STALE: Final = 24 * 3600.0
"""Age in seconds after which what a killed process left half done is swept away."""


@dataclass(frozen=True, slots=True)
class Store:
    """What is in the store.

    Attributes:
        folder: where it lies; need not exist.
        models: entries that can be used, sorted by name.
        damaged: entries that cannot be used, sorted by name.
    """

    folder: Path
    models: tuple[StoredModel, ...]
    damaged: tuple[Damaged, ...]


def store_folder() -> Path:
    """Where the store lies: `$DEFECTSCOUT_STORE`, else `defectscout/models` in the user's folder for data.

    That is `$XDG_DATA_HOME`, and `~/.local/share` where the variable is not set (XDG Base Directory Specification).
    """
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    data = Path(os.environ.get("XDG_DATA_HOME") or "")
    # The specification says that a relative path is to be ignored.
    base = data if data.is_absolute() else Path.home() / ".local" / "share"
    return base / "defectscout" / "models"


def read_store(store: Path | None = None) -> Store:
    """What is in the store; empty where there is none yet.

    Raises:
        InputFileError: if the folder is there and cannot be read.
    """
    folder = store or store_folder()
    try:
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return Store(folder, (), ())
    except OSError as error:
        raise InputFileError(
            f"The store of models {folder} cannot be read: {error.strerror}. Check that it is a folder that you may "
            f"read, or name another one in the environment variable {VARIABLE}."
        ) from None
    entries = [read_stored(path) for path in folders]
    return Store(
        folder,
        tuple(entry for entry in entries if isinstance(entry, StoredModel)),
        tuple(entry for entry in entries if isinstance(entry, Damaged)),
    )


def stored_models(store: Path | None = None) -> tuple[StoredModel, ...]:
    """The models of the store that can be used; `read_store` says which cannot, and why.

    Raises:
        InputFileError: as `read_store`.
    """
    return read_store(store).models


def stored(name: str, store: Path | None = None) -> StoredModel:
    """The model of that name.

    Raises:
        ModelFileError: if there is none (it says which there are), or it is damaged.
    """
    return _usable(_named(name, read_store(store)))


def forget(name: str, store: Path | None = None) -> None:
    """Take a model out of the store, damaged or not. A campaign that searched with it cannot be resumed any more.

    Raises:
        ModelFileError: if there is none of that name; it says which there are.
        InputFileError: if it cannot be removed.
    """
    found = _named(name, read_store(store))
    # Out of the listing at once: nobody meets half of it.
    gone = found.folder.with_name(f".{uuid4().hex}{PART}")
    with _writing(found.folder.parent):
        found.folder.rename(gone)
        shutil.rmtree(gone)


def keep(
    model: Path,
    frames: Iterable[LabelledFrame] | Path | None,
    host: Host | Structure,
    defects: Sequence[str],
    charge: int,
    campaign: Path,
    store: Path | None = None,
) -> StoredModel:
    """Copy a tuned surrogate and the frames that it learned from into the store.

    The name is made of host, reference and charge state, such as `CdTe-gfn1-xtb-q0-1`, and is no other entry's.
    Weights that are in the store already, for that host and charge state, are not kept twice: their entry is returned
    as it stands, so that a campaign that is finished again adds nothing.

    Args:
        model: model folder; manifest, weights and card are copied, and no checkpoints.
        frames: what it learned from, or a dataset of it, of which the selected frames are taken (all that no cleaning
            rule took out, if none is selected); None to keep none.
        host: with its primitive cell, or that cell.
        defects: labels, such as `v_Cd_0`.
        charge: charge state of the defects.
        campaign: where the model comes from, for the reader.
        store: folder of the store; None for `store_folder()`.

    Raises:
        ModelFileError: if `model` is no whole model folder.
        SettingsError: if the model was not trained on that charge state.
        DatasetError: if the dataset cannot be read.
        InputFileError: if the store cannot be written.
    """
    primitive = host.primitive if isinstance(host, Host) else host
    formula = str(primitive.composition.reduced_formula)
    manifest = _checked_manifest(model, charge)
    weights = "+".join(member.sha256 for member in manifest.members)
    known = read_store(store)
    for entry in known.models:
        if (entry.weights, entry.formula, entry.charge) == (weights, formula, charge):
            return entry
    with _writing(known.folder):
        known.folder.mkdir(parents=True, exist_ok=True)
        _sweep(known.folder)
        part = known.folder / f".{uuid4().hex}{PART}"
        part.mkdir()
        try:
            _copy_model(model, part / MODEL, manifest)
            _write_host(primitive, part / HOST)
            entry_file = EntryFile(
                formula=formula,
                charge=charge,
                method=manifest.trained_on.method,
                defects=tuple(defects),
                n_frames=_write_frames(part / FRAMES, frames),
                weights=weights,
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                campaign=str(campaign.absolute()),
            )
            write_entry(part, entry_file)
            folder = _placed(part, _stem(entry_file))
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return _usable(read_stored(folder))


def _named(name: str, store: Store) -> StoredModel | Damaged:
    entries: list[StoredModel | Damaged] = [*store.models, *store.damaged]
    names = [entry.name for entry in entries]
    if name in names:
        return entries[names.index(name)]
    there = f"It has: {', '.join(names)}" if names else "It is empty"
    raise ModelFileError(f"There is no model '{name}' in the store {store.folder}. {there}.")


def _usable(entry: StoredModel | Damaged) -> StoredModel:
    if isinstance(entry, Damaged):
        raise ModelFileError(entry.sentence)
    return entry


def _checked_manifest(model: Path, charge: int) -> Manifest:
    if not is_model_folder(model):
        what = "has no " + MANIFEST if model.is_dir() else "is no folder" if model.exists() else "does not exist"
        raise ModelFileError(
            f"{model} cannot be put into the store: it {what}. Give the folder of a model that `defectscout train` or "
            "a learning search finished."
        )
    manifest = read_manifest(model)
    if not manifest.members:
        raise ModelFileError(f"The model folder '{model}' names no weights. Train again.")
    for member in manifest.members:
        place = Path(member.weights)
        if place.is_absolute() or ".." in place.parts:
            raise ModelFileError(
                f"The model folder '{model}' names weights outside itself ({member.weights}), which cannot be copied. "
                f"Put them into the folder and correct {MANIFEST}."
            )
        member_path(model, member)
    seen = manifest.trained_on
    if not seen.method:
        raise ModelFileError(f"The model folder '{model}' does not say which reference it was trained on. Train again.")
    if charge not in seen.charges:
        states = ", ".join(map(charge_text, seen.charges)) or "none"
        raise SettingsError(
            f"The model {model} was not trained on charge state {charge} (but on: {states}), and is offered for the "
            "charge state that it was trained on. Give one of those."
        )
    return manifest


def _copy_model(model: Path, to: Path, manifest: Manifest) -> None:
    to.mkdir()
    for member in manifest.members:
        place = to / member.weights
        place.parent.mkdir(parents=True, exist_ok=True)
        source = model / member.weights
        if source.is_dir():
            shutil.copytree(source, place)
        else:
            shutil.copyfile(source, place)
    if (model / CARD).is_file():
        shutil.copyfile(model / CARD, to / CARD)
    shutil.copyfile(model / MANIFEST, to / MANIFEST)


def _write_host(primitive: Structure, path: Path) -> None:
    from defectscout.core.quiet import quiet

    with quiet():
        text = str(primitive.to(fmt="cif", significant_figures=12))
    path.write_text(text, encoding="utf-8")


def _write_frames(path: Path, frames: Iterable[LabelledFrame] | Path | None) -> int:
    if frames is None:
        return 0
    with Dataset.create(path) as dataset:
        stored = dataset.add(_frames_of(frames) if isinstance(frames, Path) else frames)
        # All of them are for training: the store keeps no frames back.
        dataset.mark_selected([row.row for row in dataset.index()])
    return stored


def _frames_of(path: Path) -> Iterator[LabelledFrame]:
    with Dataset.open(path) as dataset:
        free = [row for row in dataset.index() if not row.dropped]
        chosen = [row.row for row in free if row.selected] or [row.row for row in free]
        yield from dataset.frames(chosen)


def _stem(entry: EntryFile) -> str:
    method = re.sub(r"[^A-Za-z0-9.]+", "-", entry.method.rpartition("/")[2]).strip("-.")
    return f"{entry.formula}-{method or 'reference'}-q{charge_text(entry.charge)}"


def _placed(part: Path, stem: str) -> Path:
    """Give the finished folder the next free name; renaming never replaces an entry, so that none is lost."""
    pattern = re.compile(rf"{re.escape(stem)}-(\d+)")
    taken = [int(found[1]) for path in part.parent.iterdir() if (found := pattern.fullmatch(path.name))]
    number = max(taken, default=0) + 1
    while True:
        folder = part.with_name(f"{stem}-{number}")
        try:
            part.rename(folder)
        except OSError:
            if not folder.exists():  # not taken by another campaign in the meantime, but no room, or no permission
                raise
            number += 1
        else:
            return folder


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half done."""
    for part in folder.glob(f".*{PART}"):
        if part.is_dir() and time.time() - part.stat().st_mtime > STALE:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except DefectscoutError:
        raise
    except OSError as error:
        raise InputFileError(
            f"The store of models {folder} cannot be written: {error.strerror} ({error.filename}). Check that it is a "
            "folder that you may write and that its disk has room, or name another one in the environment variable "
            f"{VARIABLE}."
        ) from error
