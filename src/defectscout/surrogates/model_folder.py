"""Fine-tuned surrogates: a folder with weights and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from defectscout.core.errors import ModelFileError
from defectscout.core.files import write_atomically
from defectscout.surrogates.provenance import sha256

MANIFEST: Final = "defectscout-model.json"
CARD: Final = "MODEL_CARD.md"
FORMAT: Final = 1

Verdict = Literal["better", "mixed", "worse", "not judged"]
"""How a tuned model does against the untouched one on frames that it was not trained on."""


@dataclass(frozen=True, slots=True)
class Member:
    """One trained network.

    Attributes:
        weights: file or folder inside the model folder, in the family's own format.
        sha256: of its files, in the order of their names.
    """

    weights: str
    sha256: str


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """What a tuned surrogate has seen.

    Attributes:
        hosts: reduced formulas of the hosts of its training frames.
        elements: their elements.
        charges: charge states.
        method: the reference whose energies it learned.
        verdict: how it does against the untouched model on unseen frames.
        finding: the verdict in a sentence.
    """

    hosts: tuple[str, ...]
    elements: tuple[str, ...]
    charges: tuple[int, ...]
    method: str
    verdict: Verdict
    finding: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model folder says of itself.

    Attributes:
        family: adapter that evaluates the weights, such as `m3gnet`.
        base: the surrogate that training started from; empty from scratch.
        members: the networks; several make an ensemble.
        trained_on: what it has seen.
        references: reference energy of each element, eV.
        dataset: digest of the training frames.
        settings: the settings of the training, as plain values.
        packages: versions of the packages that trained it.
        errors: errors by name, such as `validation`, as plain values.
        charge_as_input: whether the network is given the charge state.
        untouched: the surrogate as it came, before this training and those before it; empty from scratch, or if it is
            not known.
    """

    family: str
    base: str
    members: tuple[Member, ...]
    trained_on: TrainedOn
    references: Mapping[str, float]
    dataset: str
    settings: Mapping[str, Any]
    packages: Mapping[str, str]
    errors: Mapping[str, Any]
    charge_as_input: bool = False
    untouched: str = ""


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a tuned surrogate."""
    return (path / MANIFEST).is_file()


def untouched_of(name: str) -> str:
    """What a surrogate, given by its name or folder, was before any training; empty if that is not known.

    Raises:
        ModelFileError: if it is a folder that is damaged.
    """
    folder = Path(name).expanduser()
    return read_manifest(folder).untouched if is_model_folder(folder) else name


def weights_digest(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder in the order of their names."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return sha256(files)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it last: a folder without it is no finished model."""
    content = {"format": FORMAT} | asdict(manifest)
    write_atomically(folder / MANIFEST, json.dumps(content, indent=1, default=list) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """What a model folder says of itself.

    Raises:
        ModelFileError: if it is damaged, or was written by a newer version.
    """
    file = folder / MANIFEST
    try:
        content = json.loads(file.read_text())
        written = content.pop("format")
        if written != FORMAT:
            raise ModelFileError(
                f"The model folder '{folder}' has format {written}, and this version of defectscout reads {FORMAT}. "
                "Use the version that wrote it, or train again."
            )
        trained_on: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content["trained_on"].items()
        }
        content["trained_on"] = TrainedOn(**trained_on)
        content["members"] = tuple(Member(**member) for member in content["members"])
        return Manifest(**content)
    except ModelFileError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"The model folder '{folder}' cannot be read: {file.name} is damaged ({type(error).__name__}: {error}). "
            "Restore it, or train again."
        ) from error


def member_path(folder: Path, member: Member) -> Path:
    """Where the weights of a member lie.

    Raises:
        ModelFileError: if they are missing, or are not those that were trained.
    """
    path = folder / member.weights
    if not path.exists():
        raise ModelFileError(
            f"The model folder '{folder}' lacks its weights {member.weights}. Restore them, or train again."
        )
    found = weights_digest(path)
    if found != member.sha256:
        raise ModelFileError(
            f"The weights {path} are not those that were trained: their {found[:19]}… differs from "
            f"{member.sha256[:19]}… in {MANIFEST}. Restore them, or train again."
        )
    return path
