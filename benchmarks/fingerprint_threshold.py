"""What cosine distance separates two minima of a defect, and what one minimum scatters by.

    python benchmarks/fingerprint_threshold.py DATA [--output benchmarks/results/fingerprint_threshold.csv]

DATA holds `gfn1-xtb/` (complete reference searches, one trajectory for each start) and
`dft/` (relaxations with hybrid functionals and LDA), see docs/explanation/distinct-minima.md.
Prints a table and, with --output, writes its rows.

Which pairs are one minimum is decided without the fingerprint and without the energy: by the
sorted distances of the atoms around the site, each within SAME_GEOMETRY. In this data the largest
difference is either below 0.24 or above 0.7 Å.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.geometry import find_mic, get_distances
from ase.io import read

from defectscout.core.defect import Defect, DefectKind
from defectscout.core.frames import FloatArray, Frame, Prediction, Relaxation, RelaxationState
from defectscout.minima.bonds import new_bonds
from defectscout.minima.distinct import distinct_minima
from defectscout.minima.fingerprint import cosine_distances, site_fingerprints
from defectscout.minima.lattice import far_displacements
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import track_site

SAME_GEOMETRY = 0.4  # Å
SETTINGS = MinimaSettings()
SIGMAS = (1.0, 0.7, 0.5, 0.3)  # Å; the first is the default
THRESHOLDS = (1e-4, 2e-4, 4e-4, 8e-4, 2e-3, 1e-2)


@dataclass(frozen=True)
class End:
    """The end of one relaxation, and the point that it is described from."""

    start: str
    atoms: Atoms
    centre: FloatArray
    energy: float
    frames: Sequence[Atoms] = ()


@dataclass(frozen=True)
class Pair:
    """Two ends of one defect; distances for each of SIGMAS."""

    data: str
    starts: tuple[str, str]
    distances: tuple[float, ...]
    energy_difference: float
    one_minimum: bool


@dataclass(frozen=True)
class Row:
    """One row of the table; distances × 10³."""

    data: str
    what: str
    pairs: int
    smallest: float
    median: float
    largest: float
    largest_energy_difference_eV: float  # noqa: N815
    note: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds gfn1-xtb/ and dft/")
    parser.add_argument("--output", type=Path, help="CSV file for the rows")
    arguments = parser.parse_args()

    groups: dict[str, list[End]] = {}
    rows: list[Row] = []
    for folder in sorted((arguments.data / "gfn1-xtb").iterdir()):
        groups[folder.name], of_search = reference_search(folder)
        rows += of_search
    inp = {n: inp_ends(arguments.data / "dft" / f"InP_LDA_{n}at.extxyz.gz") for n in (64, 216)}
    for n, by_defect in inp.items():
        groups |= {f"InP {defect}, LDA, {n} atoms": ends for defect, ends in by_defect.items()}
    groups |= hybrid_ends(arguments.data / "dft")
    pairs = {data: pairs_of(data, ends) for data, ends in groups.items()}
    for data, ends in groups.items():
        rows += pair_rows(pairs[data])
        rows.append(row(data, "to itself, rattled by 0.02 Å", *rattled(ends)))
    rows += supercell_sizes(inp[64], inp[216])

    print(f"{'data':32} {'what':44} {'pairs':>5} {'least':>9} {'median':>9} {'largest':>9} {'dE/eV':>7}  note")
    for r in rows:
        print(
            f"{r.data:32} {r.what:44} {r.pairs:5d} {r.smallest:9.4f} {r.median:9.4f} {r.largest:9.4f} "
            f"{r.largest_energy_difference_eV:7.3f}  {r.note}"
        )
    summarise([pair for of_group in pairs.values() for pair in of_group])
    if arguments.output:
        with arguments.output.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(asdict(rows[0])), lineterminator="\n")
            writer.writeheader()
            for r in rows:
                writer.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in asdict(r).items()})


def summarise(pairs: Sequence[Pair]) -> None:
    """Gap for each width of the Gaussians, and wrong merges and splits for each threshold."""
    same = [pair for pair in pairs if pair.one_minimum]
    different = [pair for pair in pairs if not pair.one_minimum]
    print(f"\n{len(same)} pairs are one minimum, {len(different)} are different minima. Distances × 10³:")
    print(f"{'sigma/Å':>8} {'largest of one':>15}   smallest three of different minima (starts, energy difference)")
    for k, sigma in enumerate(SIGMAS):
        closest = sorted(different, key=lambda pair: pair.distances[k])[:3]
        listed = "; ".join(
            f"{1e3 * p.distances[k]:.3f} ({p.data}: {'/'.join(p.starts)}, {p.energy_difference:.3f} eV)"
            for p in closest
        )
        print(f"{sigma:8.1f} {1e3 * max(p.distances[k] for p in same):15.3f}   {listed}")
    tolerance = SETTINGS.energy_tolerance
    print(f"\npairs judged wrongly with sigma {SIGMAS[0]:g} Å, without and with the energy ({tolerance:g} eV):")
    print(f"{'threshold':>10} {'merged':>8} {'split':>8} {'merged, E':>10} {'split, E':>10}")
    for threshold in sorted({*THRESHOLDS, SETTINGS.threshold}):
        counts = []
        for limit in (np.inf, tolerance):
            counts.append(sum(p.distances[0] <= threshold and p.energy_difference <= limit for p in different))
            counts.append(sum(p.distances[0] > threshold or p.energy_difference > limit for p in same))
        mark = "  (default)" if threshold == SETTINGS.threshold else ""
        print(f"{threshold:10.0e} {counts[0]:8d} {counts[1]:8d} {counts[2]:10d} {counts[3]:10d}{mark}")


# ---- complete searches on GFN1-xTB --------------------------------------------------------------


def reference_search(folder: Path) -> tuple[list[End], list[Row]]:
    """Ends of one search, the scatter along its relaxations, and the minima that are found in it."""
    name = folder.name
    defect = search_defect(folder)
    ends = []
    for path in sorted(folder.glob("*.extxyz.gz")):
        if path.name.startswith("bulk"):
            continue
        frames = read(path, ":")
        start = path.name.removesuffix(".extxyz.gz").replace("pc", "%")
        ends.append(End(start, frames[-1], track_site(defect, frames[-1]), energy(frames[-1]), frames))
    rows = residual_forces(name, ends)
    far = [far_displacements(defect, end.atoms, SETTINGS.cutoff) for end in ends]
    fractions = [float((d > SETTINGS.far_displacement).mean()) for d in far]
    found = distinct_minima(defect, [as_relaxation(end) for end in ends], SETTINGS)
    rows.append(
        Row(name, "minima found / flagged", len(found.minima), *[float("nan")] * 4,
            note=f"{len(found.flagged)} flagged; sites left outside the cutoff: at most {max(fractions):.3f} of them, "
            f"by at most {max(d.max() for d in far):.2f} Å")
    )  # fmt: skip
    for minimum in found.minima:
        bonds = ", ".join(map(str, new_bonds(defect, minimum.atoms))) or "no new bond"
        lowering = minimum.energy - next(end.energy for end in ends if end.start == "Unperturbed")
        rows.append(
            Row(name, f"  {minimum.representative}", len(minimum.members), *[float("nan")] * 3, lowering,
                note=f"{minimum.site_symmetry}; {bonds}")
        )  # fmt: skip
    return ends, rows


def search_defect(folder: Path) -> Defect:
    """The cation vacancy of a search folder, from its pristine supercell and first frames."""
    pristine = read(folder / "bulk.extxyz.gz", -1)
    start = read(folder / "Unperturbed.extxyz.gz", 0)
    lengths = get_distances(pristine.positions, start.positions, cell=pristine.cell, pbc=True)[1]
    vacant = int(lengths.min(axis=1).argmax())
    unperturbed = pristine.copy()
    del unperturbed[vacant]
    return Defect(
        name="v_Cd", charge=0, kind=DefectKind.VACANCY, atoms=unperturbed, bulk=pristine,
        site=pristine.get_scaled_positions()[vacant], multiplicity=1, site_symmetry="Td", excess_charge=2,
    )  # fmt: skip


def as_relaxation(end: End) -> Relaxation:
    prediction = Prediction(end.energy, np.zeros((len(end.atoms), 3)))
    return Relaxation(end.start, Frame(end.atoms, prediction, 0), None, RelaxationState.CONVERGED, "", 0)


def residual_forces(name: str, ends: Sequence[End]) -> list[Row]:
    """Distance of earlier frames to the end of their own relaxation, by the force that was left."""
    rows = []
    for low, high in ((0.0, 0.05), (0.05, 0.1), (0.1, 0.2)):
        values, differences = [], []
        for end in ends:
            for frame in end.frames[:-1]:
                if low <= fmax(frame) < high and energy(frame) - end.energy < 0.1:
                    values.append(distance(frame, end.centre, end.atoms, end.centre))
                    differences.append(abs(energy(frame) - end.energy))
        if values:
            rows.append(row(name, f"to own end, largest force {low:g}-{high:g} eV/Å", values, differences))
    return rows


# ---- ends of several starts ---------------------------------------------------------------------


def pairs_of(data: str, ends: Sequence[End]) -> list[Pair]:
    """All pairs of ends of one defect."""
    matrices = [distance_matrix(ends, SETTINGS.model_copy(update={"sigma": sigma})) for sigma in SIGMAS]
    return [
        Pair(
            data=data,
            starts=(ends[i].start, ends[j].start),
            distances=tuple(float(matrix[i, j]) for matrix in matrices),
            energy_difference=abs(ends[i].energy - ends[j].energy),
            one_minimum=bool(np.abs(shell(ends[i]) - shell(ends[j])).max() <= SAME_GEOMETRY),
        )
        for i, j in itertools.combinations(range(len(ends)), 2)
    ]


def pair_rows(pairs: Sequence[Pair]) -> list[Row]:
    """One row for the pairs of one minimum, one for those of different minima."""
    rows = []
    for one, what in ((True, "one minimum"), (False, "different minima")):
        chosen = [pair for pair in pairs if pair.one_minimum is one]
        if not chosen:
            continue
        pick = max if one else min
        telling = pick(chosen, key=lambda pair: pair.distances[0])
        note = f"{'farthest' if one else 'closest'}: {' and '.join(telling.starts)}, {telling.energy_difference:.3f} eV"
        rows.append(
            row(
                chosen[0].data,
                what,
                [p.distances[0] for p in chosen],
                [p.energy_difference for p in chosen],
                note,
            )
        )
    return rows


def shell(end: End) -> FloatArray:
    """Sorted distances from the centre to the nearest atoms of each element, and between the four nearest, Å."""
    to_centre = find_mic(end.atoms.positions - end.centre, end.atoms.cell)[1]
    inner = np.argsort(to_centre)[:4]
    mutual = get_distances(end.atoms.positions[inner], cell=end.atoms.cell, pbc=True)[1]
    by_element = [np.sort(to_centre[end.atoms.numbers == z])[:8] for z in np.unique(end.atoms.numbers)]
    return np.concatenate([*by_element, np.sort(mutual[np.triu_indices(4, 1)])])


def rattled(ends: Sequence[End]) -> tuple[list[float], list[float]]:
    random = np.random.default_rng(0)
    values = []
    for end in ends:
        other = end.atoms.copy()
        other.positions += random.normal(scale=0.02, size=other.positions.shape)
        values.append(distance(other, end.centre, end.atoms, end.centre))
    return values, [0.0]


def inp_ends(path: Path) -> dict[str, list[End]]:
    """Last frames of the InP relaxations by defect, seen from the sites that are not the host's."""
    trajectories = defaultdict(list)
    for frame in read(path, ":"):
        if frame.info["defect"] != "bulk":
            trajectories[frame.info["defect"], frame.info["start"]].append(frame)
    groups: dict[str, list[End]] = defaultdict(list)
    for (name, start), frames in trajectories.items():
        # Interstitials that split on the two sublattices are described from different places.
        kind = f"{name} on {'P' if 'p' in start else 'In'}" if name == "iIn" else name
        last = min(frames, key=fmax)
        if fmax(last) < 0.1:
            groups[kind].append(End(start, last, zincblende_defect(last, "In", "P", 5.83), energy(last)))
    return groups


def zincblende_defect(atoms: Atoms, cation: str, anion: str, a: float) -> FloatArray:
    """Centre of the sites of the ideal crystal that hold no atom, a wrong one or two, shape (3,), Å."""
    n = round(atoms.cell.lengths()[0] / a)
    best: tuple[float, FloatArray, list[str]] = (np.inf, np.zeros((0, 3)), [])
    for sign in (1, -1):  # the two orientations of the bonds
        ideal = make_supercell(bulk(cation + anion, "zincblende", a=a, cubic=True), np.eye(3) * n)
        ideal.set_cell(atoms.cell, scale_atoms=True)
        ideal.positions *= sign
        for i in range(0, len(atoms), 7):
            first = int(np.flatnonzero(ideal.numbers == atoms.numbers[i])[0])
            sites = ideal.positions + atoms.positions[i] - ideal.positions[first]
            for _ in range(3):
                vectors, lengths = get_distances(sites, atoms.positions, cell=atoms.cell, pbc=True)
                lengths = lengths + 5.0 * (ideal.numbers[:, None] != atoms.numbers[None, :])
                sites = sites + np.median(vectors[np.arange(len(sites)), lengths.argmin(axis=1)], axis=0)
            cost = float(np.minimum(lengths.min(axis=1), 2.0).sum())
            if cost < best[0] - 1e-6:
                best = (cost, sites, list(ideal.symbols))
    _, sites, symbols = best
    occupied = get_distances(sites, atoms.positions, cell=atoms.cell, pbc=True)[1].argmin(axis=0)
    here = defaultdict(list)
    for index, site in enumerate(occupied):
        here[int(site)].append(str(atoms.symbols[index]))
    odd = [k for k in range(len(sites)) if here[k] != [symbols[k]]]
    relative = find_mic(sites[odd] - sites[odd[0]], atoms.cell)[0]
    return np.asarray(sites[odd[0]] + relative.mean(axis=0), dtype=float)


def supercell_sizes(small: dict[str, list[End]], large: dict[str, list[End]]) -> list[Row]:
    """Distances of ends of one start in 64- and in 216-atom supercells."""
    rows = []
    for name in sorted(small.keys() & large.keys()):
        for a in small[name]:
            for b in large[name]:
                if a.start == b.start:
                    value = distance(a.atoms, a.centre, b.atoms, b.centre)
                    rows.append(row(f"InP {name}", f"{a.start}: 64 against 216 atoms", [value], [float("nan")]))
    return rows


def hybrid_ends(folder: Path) -> dict[str, list[End]]:
    """Last frames of the hybrid-functional relaxations of defects in CdTe, by defect."""
    groups: dict[str, list[End]] = defaultdict(list)
    for (name, charge, start), atoms in last_frames(folder / "CdTe_v_Cd_charged_HSE.extxyz.gz").items():
        centre = zincblende_defect(atoms, "Cd", "Te", 6.54)
        groups[f"CdTe {name}_{charge}, HSE"].append(End(start, atoms, centre, energy(atoms)))
    for (name, _, _), atoms in last_frames(folder / "CdTe_Cd_i_HSE.extxyz.gz").items():
        groups["CdTe Cd_i_0, HSE"].append(End(name, atoms, atoms.positions[extra_atom(atoms)], energy(atoms)))
    return groups


def extra_atom(atoms: Atoms) -> int:
    """The Cd atom with the most neighbours within 3.5 Å: an interstitial."""
    lengths = atoms.get_all_distances(mic=True)
    counts = (lengths < 3.5).sum(axis=1) * (atoms.symbols == "Cd")
    return int(np.argmax(counts))


def last_frames(path: Path) -> dict[tuple[str, int, str], Atoms]:
    return {(a.info["defect"], int(a.info["charge"]), a.info["start"]): a for a in read(path, ":")}


# ---- small things -------------------------------------------------------------------------------


def distance_matrix(ends: Sequence[End], settings: MinimaSettings) -> FloatArray:
    return cosine_distances(site_fingerprints([e.atoms for e in ends], [e.centre for e in ends], settings))


def distance(a: Atoms, centre_a: FloatArray, b: Atoms, centre_b: FloatArray) -> float:
    return float(cosine_distances(site_fingerprints([a, b], [centre_a, centre_b], SETTINGS))[0, 1])


def row(data: str, what: str, values: Sequence[float], energies: Sequence[float], note: str = "") -> Row:
    scaled = 1e3 * np.asarray(values)
    return Row(
        data, what, len(values), float(scaled.min()), float(np.median(scaled)), float(scaled.max()), max(energies), note
    )  # fmt: skip


def energy(atoms: Atoms) -> float:
    return float(atoms.get_potential_energy())


def fmax(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


if __name__ == "__main__":
    main()
