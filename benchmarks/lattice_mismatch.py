"""What an untouched surrogate makes of a host whose lattice is that of another functional.

    python benchmarks/lattice_mismatch.py --data DATA --base chgnet --base m3gnet:FOLDER

Universal models learn from PBE. DATA holds frames of InP's native defects at LDA's lattice
(`dft/InP_LDA_64at.extxyz.gz`), whose lattice parameter is 2.2 % below PBE's. Each model judges ten frames of each
relaxation twice: as they are (`surrogate.lattice = host`), and in its own lattice (`own`), which is found from the
pristine crystal alone. `results/lattice_mismatch.csv` has for each defect Spearman's ρ over its frames, the mean error
of energies relative to its lowest frame (eV) and of force components (meV/Å); `mean` is over the defects.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from result_tables import write
from scipy.stats import spearmanr

from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.own_lattice import InOwnLattice, own_scale, pressure
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings

KEY = ("base", "lattice", "defect")
FRAMES = 10
RESULTS = Path(__file__).parent / "results" / "lattice_mismatch.csv"


def main() -> None:
    """Judge every model that is asked for, and add its rows to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", action="append", required=True, help="surrogate; may be repeated")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    pristine, defects = frames(arguments.data / "dft" / "InP_LDA_64at.extxyz.gz")
    for base in arguments.base:
        surrogate = load_surrogate(SurrogateSettings(name=base, device="cpu"))
        felt, scale = pressure(surrogate, pristine), own_scale(surrogate, pristine)
        print(f"{base}: {felt:+.1f} GPa, own lattice {100 * (scale - 1):+.2f} %", flush=True)
        rows = []
        for lattice, seen in (("host", surrogate), ("own", InOwnLattice(surrogate, scale))):
            found = [{"defect": name, **judged(seen, chosen)} for name, chosen in defects.items()]
            names = ("spearman", "relative_energy_mae_eV", "force_mae_meV_per_A")
            mean = {name: round(float(np.mean([row[name] for row in found])), 3) for name in names}
            frames_in_all = sum(row["frames"] for row in found)
            for row in [*found, {"defect": "mean", "frames": frames_in_all, **mean}]:
                about = {"base": shown(base), "lattice": lattice}
                rows.append(about | {"pressure_GPa": round(felt, 2), "scale": round(scale, 4)} | row)
                print(rows[-1], flush=True)
        write(arguments.output, rows, KEY)


def frames(path: Path) -> tuple[Atoms, dict[str, list[Atoms]]]:
    """The pristine crystal, and evenly spaced frames of each defect's relaxations."""
    relaxations: dict[tuple[str, str], list[Atoms]] = {}
    for atoms in read(path, ":"):
        relaxations.setdefault((atoms.info["defect"], atoms.info["start"]), []).append(atoms)
    (pristine,) = relaxations.pop(("bulk", "bulk"))
    defects: dict[str, list[Atoms]] = {}
    for (name, _), steps in relaxations.items():
        places = np.unique(np.linspace(0, len(steps) - 1, min(FRAMES, len(steps))).round().astype(int))
        defects.setdefault(name, []).extend(steps[place] for place in places)
    return pristine, defects


def judged(surrogate: Surrogate, chosen: Sequence[Atoms]) -> dict[str, Any]:
    """Ranking and errors over the frames of a defect."""
    found = [surrogate.predict([atoms])[0] for atoms in chosen]
    energies = np.array([item.energy for item in found])
    known = np.array([atoms.get_potential_energy() for atoms in chosen])
    lowest = known.argmin()
    errors = (energies - energies[lowest]) - (known - known[lowest])
    forces = [np.abs(item.forces - atoms.get_forces()).mean() for item, atoms in zip(found, chosen, strict=True)]
    return {
        "frames": len(chosen),
        "spearman": round(float(spearmanr(energies, known)[0]), 3),
        "relative_energy_mae_eV": round(float(np.abs(errors).mean()), 3),
        "force_mae_meV_per_A": round(1000 * float(np.mean(forces)), 1),
    }


def shown(base: str) -> str:
    """A surrogate's name without where its weights lie on this machine."""
    family, _, weights = base.partition(":")
    return family if not weights or Path(weights).exists() else base


if __name__ == "__main__":
    main()
