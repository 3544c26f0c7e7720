"""A campaign: the folder of one search, with its record, its settings and its lock."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from defectscout import __version__
from defectscout.core.errors import CampaignError
from defectscout.core.files import write_atomically
from defectscout.surrogates.model_folder import is_model_folder
from defectscout.workflow.record import ASK, CHECK, SCHEMA_VERSION, Record
from defectscout.workflow.settings import SearchSettings, changed, flatten, write_toml

RECORD_NAME = "campaign.db"
LOG_NAME = "defectscout.log"
SETTINGS_NAME = "settings.toml"
MIN_FREE_BYTES = 100 * 1024**2
"""Below this the campaign does not start: a record of a small search takes some ten MB."""

_LOCK_NAME = ".lock"
_OWN_FILES = frozenset({_LOCK_NAME, LOG_NAME, SETTINGS_NAME})
"""What a campaign that was killed in its first moment may have left."""
_PACKAGES = (
    "ase",
    "chgnet",
    "doped",
    "dscribe",
    "matgl",
    "mace-torch",
    "numpy",
    "pymatgen",
    "sevenn",
    "shakenbreak",
    "tblite",
    "torch",
)
TRAINING_PACKAGES = ("torch", "lightning", "matgl", "chgnet", "sevenn", "mace-torch", "numpy", "ase")
"""Those that a model which was trained here depends on."""

FIRST_STAGE_OF = {
    "host": "host",
    "supercell": "host",
    "source": "host",
    "defects": "defects",
    "sampling": "sampling",
    "surrogate": "scout",
    "scouting": "scout",
    "strategy": "scout",
    "learn": "scout",
    "minima": "candidates",
    "reference": "host",
    "refinement": "reference",
}
"""The earliest stage that a change in a settings section invalidates."""

STAGES = ("host", "defects", "sampling", "scout", "candidates", "reference")
"""The stages in the order in which the data passes through them."""

LEARNING_FOLDER = "learn"
"""Folder of the surrogates that a campaign has tuned."""

LEARNING_STAGES = (ASK, CHECK)
"""Stages of the learning loop beside `reference`; they go when the scouting does."""

STAGE_DOCUMENTS = {
    "host": ("host", "host-report"),
    "defects": ("defects",),
    "sampling": ("sampling",),
    "scout": ("surrogate", "learn", "kept"),
    "candidates": ("candidates",),
    "reference": ("reference", "agreement", "borrowed"),
}
"""What each stage leaves in the record beside its relaxations."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a host came from.

    Attributes:
        name: file name or Materials Project id, as given.
        sha256: hash of the file's content; empty for an id.
    """

    name: str
    sha256: str


def source_of(host: str) -> Source:
    """Identify the host's file by its content, so that a changed file is noticed on resume."""
    path = Path(host)
    if path.is_file():
        return Source(name=host, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    return Source(name=host, sha256="")


@dataclass(frozen=True, slots=True)
class Campaign:
    """An open campaign folder."""

    folder: Path
    settings: SearchSettings
    source: Source
    record: Record


@contextmanager
def open_campaign(folder: Path, settings: SearchSettings, source: Source) -> Iterator[Campaign]:
    """Start a campaign in `folder`, or go on with the one that is there.

    Raises:
        CampaignError: if the folder holds other files, another host, other settings
            or a running search, if it cannot be written, or if the disk is full.
    """
    record_path = folder / RECORD_NAME
    if folder.exists() and not folder.is_dir():
        raise CampaignError(f"{folder} is a file. Choose another output folder with -o.")
    if not record_path.exists():
        _check_new_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CampaignError(f"Cannot make the folder {folder}: {error.strerror}.") from None
    with _locked(folder):
        _check_disk(folder)
        record = Record(record_path)
        _check_same(record, folder, settings, source)
        with _logging_to(folder / LOG_NAME):
            yield Campaign(folder=folder, settings=settings, source=source, record=record)


@contextmanager
def reopen_campaign(folder: Path) -> Iterator[Campaign]:
    """Go on with the campaign in `folder`, with the settings that it was started with.

    Raises:
        CampaignError: if there is no campaign in the folder.
    """
    settings, source = read_campaign(folder)
    with open_campaign(folder, settings, source) as campaign:
        yield campaign


def read_campaign(folder: Path) -> tuple[SearchSettings, Source]:
    """Settings and host of the campaign in `folder`.

    Raises:
        CampaignError: if there is none.
    """
    if not (folder / RECORD_NAME).is_file():
        raise CampaignError(
            f"{folder} holds no campaign (no {RECORD_NAME}). Start one with: defectscout search HOST -o {folder}"
        )
    record = Record(folder / RECORD_NAME)
    stored = record.read_document("campaign")
    if stored is None:
        raise CampaignError(
            f"The campaign in {folder} was interrupted before it had begun. Remove the folder and start it again."
        )
    content = json.loads(stored)
    _check_schema(content, folder)
    return SearchSettings.model_validate(content["settings"]), Source(**content["source"])


def fork_folder(folder: Path, settings: SearchSettings, source: Source) -> Path:
    """The first of `folder-fork1`, `folder-fork2`, ... that holds this search already, or is free."""
    number = 1
    while (fork := folder.with_name(f"{folder.name}-fork{number}")).exists():
        if (fork / RECORD_NAME).is_file():
            known, host = read_campaign(fork)
            if not changed(known, settings) and _same_host(host, source):
                break
        number += 1
    return fork


def fork_campaign(folder: Path, settings: SearchSettings, source: Source) -> Path:
    """Copy a campaign for other settings, keeping the stages that they do not touch.

    Returns the new folder; the search is then started there as usual. A fork that holds
    this search already is returned as it stands, so that an interrupted one is gone on with.
    """
    old_settings, old_source = read_campaign(folder)
    differences = [name.split(".")[0] for name in changed(old_settings, settings)]
    if not _same_host(old_source, source):
        differences.append("source")
    stages = [FIRST_STAGE_OF[section] for section in differences]
    first = min((STAGES.index(stage) for stage in stages), default=len(STAGES))
    if "learn" in (old_settings.strategy, settings.strategy) and first < len(STAGES):
        first = min(first, STAGES.index("scout"))  # what the loop asked depends on every answer before
    if "surrogate" in differences and any(map(_comes_from_a_folder, (old_settings, settings))):
        first = min(first, STAGES.index("sampling"))  # which may hold what related hosts' defects relaxed to
    with _locked(folder):
        fork = fork_folder(folder, settings, source)
        if fork.exists():
            return fork
        fork.mkdir(parents=True)
        # Under its name only when it is complete: a kill must not leave the old campaign with half of it gone.
        part = fork / f".{RECORD_NAME}.part"
        shutil.copy2(folder / RECORD_NAME, part)
    record = Record(part)
    gone = STAGES[first:]
    asked = LEARNING_STAGES if "scout" in gone else ()
    record.forget((*gone, *asked), [name for stage in gone for name in STAGE_DOCUMENTS[stage]])
    _write_identity(record, fork, settings, source)
    if "scout" not in gone and (folder / LEARNING_FOLDER).is_dir():
        shutil.copytree(folder / LEARNING_FOLDER, fork / LEARNING_FOLDER)
    part.replace(fork / RECORD_NAME)
    return fork


def _comes_from_a_folder(settings: SearchSettings) -> bool:
    return is_model_folder(Path(settings.surrogate.name).expanduser())


def _same_host(known: Source, source: Source) -> bool:
    """By content, so that a file may be moved; by name where there is no file."""
    return known.sha256 == source.sha256 and (bool(source.sha256) or known.name == source.name)


def _check_new_folder(folder: Path) -> None:
    if folder.is_dir() and any(path.name not in _OWN_FILES for path in folder.iterdir()):
        raise CampaignError(
            f"The folder {folder} is not empty and holds no campaign. Nothing was written; "
            "choose another output folder with -o, or empty this one."
        )


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise CampaignError(
            f"Only {free / 1024**2:.0f} MB are free on the disk of {folder}; a search needs at least "
            f"{MIN_FREE_BYTES / 1024**2:.0f} MB. Make room or choose another output folder with -o."
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder; the operating system lets go of the lock when the process dies."""
    try:
        handle = (folder / _LOCK_NAME).open("a")
    except OSError as error:
        raise CampaignError(f"Cannot write in the folder {folder}: {error.strerror}.") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CampaignError(
                f"Another defectscout is running in {folder}. Wait for it, or choose another folder with -o."
            ) from None
        yield


def _check_schema(content: dict[str, object], folder: Path) -> None:
    if content["schema"] != SCHEMA_VERSION:
        raise CampaignError(
            f"The campaign in {folder} was written in format {content['schema']}; this defectscout reads format "
            f"{SCHEMA_VERSION}. Use the version that wrote it ({content['version']}), or start in another folder."
        )


def _check_same(record: Record, folder: Path, settings: SearchSettings, source: Source) -> None:
    stored = record.read_document("campaign")
    if stored is None:
        _write_identity(record, folder, settings, source)
        return
    content = json.loads(stored)
    _check_schema(content, folder)
    known = Source(**content["source"])
    if not _same_host(known, source):
        raise CampaignError(
            f"The folder {folder} holds a campaign on another host ({known.name}); this one is {source.name}"
            f"{' with other content' if known.name == source.name else ''}. "
            "Nothing was changed; choose another output folder with -o."
        )
    old = SearchSettings.model_validate(content["settings"])
    differences = changed(old, settings)
    if differences:
        before, after = flatten(old), flatten(settings)
        listing = "; ".join(f"{name} was {before.get(name)!r}, now {after[name]!r}" for name in differences)
        raise CampaignError(
            f"The campaign in {folder} was started with other settings: {listing}. Nothing was changed. "
            "Run with the old settings to go on with it, add --fork to start a new campaign beside it that keeps "
            "what these settings do not touch, or choose another output folder with -o."
        )
    if old != settings:
        _write_settings(record, folder, content, settings)


def _write_settings(record: Record, folder: Path, content: dict[str, object], settings: SearchSettings) -> None:
    """Replace the settings of a campaign; what else it says of itself stays."""
    record.write_document("campaign", json.dumps({**content, "settings": settings.model_dump(mode="json")}))
    write_atomically(folder / SETTINGS_NAME, write_toml(settings))


def _write_identity(record: Record, folder: Path, settings: SearchSettings, source: Source) -> None:
    content = {
        "schema": SCHEMA_VERSION,
        "version": __version__,
        "settings": settings.model_dump(mode="json"),
        "source": {"name": source.name, "sha256": source.sha256},
        "packages": package_versions(),
    }
    record.write_document("campaign", json.dumps(content))
    write_atomically(folder / SETTINGS_NAME, write_toml(settings))


def package_versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Versions of defectscout and of those packages that are installed; of what enters a search by default."""
    versions = {"defectscout": __version__}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("defectscout")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    except Exception:
        logger.exception("the search has stopped")
        raise
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
