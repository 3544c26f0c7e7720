"""Small hosts, model folders and frames, for tests of the store of models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.build import bulk
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from defectscout.core.frames import Prediction
from defectscout.learning.families import composition_of
from defectscout.learning.frames import BULK, FrameOrigin, LabelledFrame
from defectscout.surrogates.model_folder import Manifest, Member, TrainedOn, Verdict, weights_digest, write_manifest


def zincblende(cation: str, anion: str, a: float = 6.5) -> Structure:
    return AseAtomsAdaptor.get_structure(bulk(f"{cation}{anion}", "zincblende", a=a))


def wurtzite(cation: str, anion: str, a: float = 4.3) -> Structure:
    lattice = Lattice.hexagonal(a, a * 1.633)
    return Structure.from_spacegroup("P6_3mc", lattice, [cation, anion], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]])


def rocksalt(cation: str, anion: str, a: float = 5.8) -> Structure:
    return AseAtomsAdaptor.get_structure(bulk(f"{cation}{anion}", "rocksalt", a=a))


def chalcopyrite(first: str, second: str, anion: str) -> Structure:
    coords = [[0, 0, 0], [0, 0, 0.5], [0.25, 0.25, 0.125]]
    lattice = Lattice.tetragonal(5.4, 10.6)
    return Structure.from_spacegroup("I-42d", lattice, [first, second, anion], coords).get_primitive_structure()


def model_folder(
    folder: Path,
    formulas: Sequence[str] = ("CdTe",),
    *,
    charges: Sequence[int] = (0,),
    method: str = "gfn1-xtb",
    verdict: Verdict = "better",
    weights: str = "",
) -> Path:
    """A folder as training leaves it: manifest, card, weights, and a checkpoint that is not part of the model."""
    place = folder / "member-0" / "weights"
    place.mkdir(parents=True)
    (place / "model.json").write_text(json.dumps({"bond": weights or str(folder)}))
    (folder / "member-0" / "last.ckpt").write_text("large")
    (folder / "MODEL_CARD.md").write_text("# A model\n")
    elements = tuple(sorted({symbol for formula in formulas for symbol in composition_of(formula)}))
    seen = TrainedOn(tuple(formulas), elements, tuple(charges), method, verdict, "Better on 2 unseen defects.")
    member = Member("member-0/weights", weights_digest(place))
    write_manifest(
        folder,
        Manifest(
            family="m3gnet", base="m3gnet:M3GNet-MP-2021.2.8-PES", members=(member,), trained_on=seen, references={},
            dataset="sha256:0", settings={}, packages={}, errors={},
        ),
    )  # fmt: skip
    return folder


def frames_of(
    formula: str,
    defect: str = "v_Cd",
    charge: int = 0,
    method: str = "gfn1-xtb",
    *,
    starts: Sequence[str] = ("Unperturbed", "Rattled"),
    steps: int = 5,
) -> list[LabelledFrame]:
    """Relaxations of a distorted cell of two atoms, each frame with an energy of its own."""
    cation, anion = list(composition_of(formula))[:2]
    frames = []
    for s, start in enumerate(starts):
        for step in range(steps):
            atoms = bulk(cation + anion, "zincblende", a=6.0)
            atoms.positions[1] += 0.01 * (step + 1) + 0.1 * s
            energy = -1.0 - step - 10 * s - 0.001 * len(formula)
            prediction = Prediction(energy, np.full((2, 3), 0.1), np.zeros(6))
            origin = FrameOrigin(formula, defect, 0 if defect == BULK else charge, start, step, method, "campaign")
            frames.append(LabelledFrame(atoms, prediction, origin))
    return frames
