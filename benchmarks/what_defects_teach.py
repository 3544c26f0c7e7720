"""What the relaxations of one defect teach a surrogate about another: leave one out, without training.

    python benchmarks/what_defects_teach.py --data DATA --base m3gnet:FOLDER --base chgnet

DATA holds frames of InP's native defects (LDA, `dft/InP_LDA_64at.extxyz.gz`). Fine-tuning on all but one of them makes
an untouched model rank the frames of that one worse. Is that the optimiser's fault, which forgets, or the data's?

So nothing is trained here. To the energy of the untouched model a linear function of its own features (those that its
readout sees, summed over the atoms) is added, and fitted in closed form to what separates model and DFT within
the relaxations of the teachers, with a penalty on its size from next to none to so large that little is changed. There
is one best fit for each penalty, and nothing else to forget: whatever it makes worse, the teachers taught.

`results/what_defects_teach.csv` has for each judged defect Spearman's ρ over its frames: of the untouched model, and
the lowest, the middle and the highest over the penalties, for each teacher alone, all the others together, and the
defect itself (which says whether features and frames could hold the answer); in the host's lattice and in the model's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from lattice_mismatch import frames, shown
from result_tables import write
from scipy.stats import spearmanr

from defectscout.core.frames import FloatArray, Prediction
from defectscout.learning.features import surrogate_features
from defectscout.learning.frames import FrameOrigin, LabelledFrame
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.own_lattice import own_scale, scaled
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
KEY = ("base", "lattice", "judged", "taught_by")
RESULTS = Path(__file__).parent / "results" / "what_defects_teach.csv"


def main() -> None:
    """Fit and judge for every model that is asked for, and add its rows to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", action="append", required=True, help="m3gnet:FOLDER or chgnet; may be repeated")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    pristine, defects = frames(arguments.data / "dft" / "InP_LDA_64at.extxyz.gz")
    for base in arguments.base:
        surrogate = load_surrogate(SurrogateSettings(name=base, device="cpu"))
        rows = []
        for lattice, scale in (("host", 1.0), ("own", own_scale(surrogate, pristine))):
            seen = {name: Seen(surrogate, chosen, scale) for name, chosen in defects.items()}
            for row in judged(seen):
                rows.append({"base": shown(base), "lattice": lattice} | row)
                print(rows[-1], flush=True)
        write(arguments.output, rows, KEY)


class Seen:
    """The frames of a defect as the untouched model sees them, and as DFT does."""

    def __init__(self, surrogate: Surrogate, chosen: Sequence[Atoms], scale: float) -> None:
        at_scale = [scaled(atoms, scale) for atoms in chosen]
        self.energies: FloatArray = np.array([surrogate.predict([atoms])[0].energy for atoms in at_scale])
        means = surrogate_features([_labelled(atoms) for atoms in at_scale], len(at_scale), surrogate)
        self.features: FloatArray = means.astype(float) * np.array([[len(atoms)] for atoms in at_scale])
        self.known: FloatArray = np.array([atoms.get_potential_energy() for atoms in chosen])

    def rho(self, weights: FloatArray) -> float:
        """Spearman's ρ with a correction of these weights."""
        return float(spearmanr(self.energies + self.features @ weights, self.known)[0])


def judged(seen: dict[str, Seen]) -> list[dict[str, Any]]:
    """Every defect, taught by each and by all the others."""
    rows = []
    for name, one in seen.items():
        others = [other for other in seen if other != name]
        for teachers in ([name], others, *([other] for other in others)):
            rhos = sorted(one.rho(fitted([seen[teacher] for teacher in teachers], penalty)) for penalty in PENALTIES)
            rows.append(
                {
                    "judged": name,
                    "taught_by": "itself" if teachers == [name] else "all others" if len(teachers) > 1 else teachers[0],
                    "frames": len(one.known),
                    "untouched": f"{one.rho(np.zeros(one.features.shape[1])):.2f}",
                    "lowest": f"{rhos[0]:.2f}",
                    "median": f"{rhos[len(rhos) // 2]:.2f}",
                    "highest": f"{rhos[-1]:.2f}",
                }
            )
    return rows


def fitted(teachers: Sequence[Seen], penalty: float) -> FloatArray:
    """Weights of the features: ridge regression on what model and DFT differ by, less its mean for each defect."""
    rows = np.concatenate([(one.features - one.features.mean(0)) / np.sqrt(len(one.known)) for one in teachers])
    wanted = np.concatenate([_centred(one.known - one.energies) / np.sqrt(len(one.known)) for one in teachers])
    scale = rows.std(axis=0) + 1e-9
    rows = rows / scale
    weights = np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), rows.T @ wanted)
    return np.asarray(weights / scale)


def _centred(values: FloatArray) -> FloatArray:
    return np.asarray(values - values.mean())


def _labelled(atoms: Atoms) -> LabelledFrame:
    origin = FrameOrigin(host="InP", defect="", charge=0, start="", step=0, method="", source="")
    return LabelledFrame(atoms, Prediction(0.0, np.zeros((len(atoms), 3))), origin)


if __name__ == "__main__":
    main()
