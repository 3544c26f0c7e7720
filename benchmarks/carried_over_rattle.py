"""Whether to rattle a motif that is carried over from a related host, and which atoms.

    OMP_NUM_THREADS=1 python benchmarks/carried_over_rattle.py runs/CdSe-learn-related-2 --seeds 1,2,3

The source is the campaign of a learning loop that began with the ground state of a related host. That relaxation is run
once more with GFN1-xTB and the surrogate that it began with, from the structure as it was carried over, and
rattled: all atoms by 0.05 Å, or those that the fingerprint of the site sees by 0.1 Å. The table says how many force
calls it took, how high the structure lay at the start, and how high it ended, above the lowest of all these ends.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from relaxed_again import again, relaxed_in
from result_tables import write

from defectscout.core.defect import Defect
from defectscout.core.frames import FloatArray
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import is_near_site
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.workflow.campaign import reopen_campaign
from defectscout.workflow.related_minima import related_structures
from defectscout.workflow.serial import defects_from_json, host_from_json

METHOD = "gfn1-xtb"
RESULTS = Path(__file__).parent / "results" / "carried_over_rattle.csv"
RATTLES = {"none": (0.0, 0.0), "all atoms": (0.05, 0.05), "near the site": (0.1, 0.0)}
"""Standard deviations near the site and elsewhere, Å."""


def main() -> None:
    """Relax, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", type=Path, help="of a loop that began with the ground state of a related host")
    parser.add_argument("--seeds", default="1,2,3", help="of the rattle")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    defect, label, still = carried_over(arguments.campaign)
    one = next(relaxed for relaxed in relaxed_in(arguments.campaign) if relaxed.label == label)
    names, starts = [], []
    for name, deviations in RATTLES.items():
        for seed in arguments.seeds.split(",") if any(deviations) else [""]:
            names.append((name, seed))
            starts.append(rattled(defect, still, deviations, seed))
    ends = again(one, starts, RelaxationSettings(), METHOD)
    lowest = min(end.energies[-1] for end in ends)
    rows = [
        {
            "campaign": one.campaign,
            "rattled": name,
            "seed": seed,
            "force_calls": len(end.energies),
            "end": end.state.value,
        }
        | {"start_above_lowest_eV": round(end.energies[0] - lowest, 2)}
        | {"end_above_lowest_meV": round(1000 * (end.energies[-1] - lowest), 1)}
        for (name, seed), end in zip(names, ends, strict=True)
    ]
    write(arguments.output, rows, ("campaign", "rattled", "seed"))
    for row in rows:
        print(*row.values())


def carried_over(folder: Path) -> tuple[Defect, str, Atoms]:
    """The defect, and the first structure from a related host, without a rattle."""
    with reopen_campaign(folder) as campaign:
        documents = [campaign.record.read_document(name) for name in ("host", "defects")]
        host, (defect, *_) = host_from_json(documents[0] or ""), defects_from_json(documents[1] or "")
        sampling = campaign.settings.sampling.model_copy(update={"rattle": 0.0})
        settings = campaign.settings.model_copy(update={"sampling": sampling})
    start = related_structures(settings, host, [defect])[0].structures[0]
    return defect, start.label, start.atoms


def rattled(defect: Defect, still: Atoms, deviations: tuple[float, float], seed: str) -> Atoms:
    """The structure with its atoms displaced at random."""
    atoms = still.copy()
    if any(deviations):
        moves: FloatArray = np.random.default_rng(int(seed)).normal(size=still.positions.shape)
        near = is_near_site(defect, still, MinimaSettings().cutoff)
        atoms.positions += moves * np.where(near, *deviations)[:, None]
    return atoms


if __name__ == "__main__":
    main()
