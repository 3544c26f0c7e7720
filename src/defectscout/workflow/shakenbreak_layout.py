"""ShakeNBreak's folder layout, for `snb-plot`, `snb-groundstate` and doped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from defectscout.core.defect import UNPERTURBED, Defect, SamplingStructure
from defectscout.core.errors import CampaignError, SamplingError
from defectscout.core.frames import Frame, Relaxation, RelaxationState
from defectscout.sampling.labels import energy_key, folder_name
from defectscout.sampling.metadata import DistortionMetadata, merge_shakenbreak, to_shakenbreak
from defectscout.sampling.poscar import poscar_text

METADATA_FILE = "distortion_metadata.json"


def write_layout(
    folder: Path,
    defect: Defect,
    metadata: DistortionMetadata | None,
    starts: Sequence[SamplingStructure],
    relaxed: Mapping[str, Relaxation],
) -> None:
    """Write or update one defect of a folder in ShakeNBreak's layout.

    Written are, for v_Cd_0:

    - `v_Cd_0/LABEL/POSCAR`, the starts;
    - `v_Cd_0/LABEL/CONTCAR`, the ends of relaxations that converged or reached their
      step limit;
    - `v_Cd_0/v_Cd_0.yaml`, their energies in eV. As in what `snb-parse` writes,
      nothing there tells apart those that reached the step limit, and those that
      failed are missing;
    - `distortion_metadata.json` beside and inside `v_Cd_0`; the one beside it keeps
      what it says of other defects.

    Labels that ShakeNBreak does not know get a folder name that it does
    (`sampling.labels.folder_name`). Atoms are in ShakeNBreak's order. Each file is
    replaced as a whole, and only if it changes; nothing is ever deleted.

    Args:
        folder: the folder that holds those of all defects; made if missing.
        defect: the defect.
        metadata: how the starts were made; None writes no metadata.
        starts: the sampling structures.
        relaxed: relaxations by label, finished or not; those without a start get a
            CONTCAR only.

    Raises:
        SamplingError: if two labels would share a folder.
        CampaignError: if the metadata file that lies there is not ShakeNBreak's.
    """
    ends = {label: frame for label, relaxation in relaxed.items() if (frame := _end(relaxation)) is not None}
    names = _folder_names([start.label for start in starts] + list(ends))
    home = folder / defect.label
    for start in starts:
        comment = _comment(names[start.label], defect, metadata)
        _replace(home / names[start.label] / "POSCAR", poscar_text(start.atoms, comment))
    for label, frame in ends.items():
        comment = _comment(names[label], defect, metadata)
        _replace(home / names[label] / "CONTCAR", poscar_text(_in_order(frame.atoms, defect), comment))
    if ends:
        energies = {names[label]: frame.prediction.energy for label, frame in ends.items()}
        _replace(home / f"{defect.label}.yaml", _energies_text(energies))
    if metadata is not None:
        own = to_shakenbreak(metadata, defect.atoms)
        _replace(home / METADATA_FILE, _json_text(own))
        common = folder / METADATA_FILE
        _replace(common, _json_text(merge_shakenbreak(_read_metadata(common), own)))


def _end(relaxation: Relaxation) -> Frame | None:
    finished = (RelaxationState.CONVERGED, RelaxationState.UNCONVERGED)
    return relaxation.final if relaxation.state in finished else None


def _folder_names(labels: Sequence[str]) -> dict[str, str]:
    names = {label: folder_name(label) for label in labels}
    taken: dict[str, str] = {}
    for label, name in names.items():
        if name in taken:
            raise SamplingError(
                f"The sampling structures {taken[name]} and {label} would share the folder {name} of "
                "ShakeNBreak's layout, whose names hold letters, digits, dots and signs only. Rename one."
            )
        taken[name] = label
    return names


def _in_order(atoms: Atoms, defect: Defect) -> Atoms:
    if atoms.get_chemical_symbols() != defect.atoms.get_chemical_symbols():
        raise SamplingError(
            f"A relaxed structure of {defect.label} holds {atoms.get_chemical_formula()} or its atoms are in "
            f"another order than those of the defect supercell, {defect.atoms.get_chemical_formula()}. The "
            "record of this relaxation belongs to another defect; relax it again."
        )
    return atoms


def _comment(name: str, defect: Defect, metadata: DistortionMetadata | None) -> str:
    """First line of a file, as ShakeNBreak writes it: `-60.0% N(Distort)=2 ~[0.5,0.5,0.5]`."""
    site = ",".join(f"{coordinate:.1f}" for coordinate in defect.site)
    short = name.removeprefix("Bond_Distortion_")
    if metadata is None or metadata.n_distorted_neighbours is None or name == UNPERTURBED:
        return f"{short} ~[{site}]"
    return f"{short} N(Distort)={metadata.n_distorted_neighbours} ~[{site}]"


def _energies_text(energies: Mapping[str, float]) -> str:
    """ShakeNBreak's energy file: distortions by number, then by name, and `Unperturbed`."""
    numbers: dict[float, float] = {}
    words: dict[str, float] = {}
    for name, energy in energies.items():
        key = energy_key(name)
        if isinstance(key, float):
            numbers[key] = energy
        elif key is not None and key != UNPERTURBED:
            words[key] = energy
    lines = [f"  {key!r}: {energy:.8f}" for key, energy in sorted(numbers.items())]
    lines += [f"  '{key}': {energy:.8f}" for key, energy in sorted(words.items())]
    text = "\n".join(["distortions:", *lines]) if lines else "distortions: {}"
    if UNPERTURBED in energies:
        text += f"\n{UNPERTURBED}: {energies[UNPERTURBED]:.8f}"
    return text + "\n"


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CampaignError(
            f"The file {path} cannot be read as ShakeNBreak's metadata: {error}. It may list other defects "
            "and is not overwritten; repair it or move it away."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("defects", {}), dict):
        raise CampaignError(f"The file {path} is not ShakeNBreak's metadata: it has no table of defects. Move it away.")
    return content


def _json_text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=4) + "\n"


def _replace(path: Path, text: str) -> None:
    """Write a file so that a reader sees either the old or the new one."""
    data = text.encode("utf-8")
    try:
        if path.read_bytes() == data:
            return
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
