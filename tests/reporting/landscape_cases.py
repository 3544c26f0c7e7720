"""Analyses made by hand: a few defects, or hundreds of them."""

from __future__ import annotations

import math

from defectscout.analysis.acceleration import Acceleration, FunnelRow, TimeRow
from defectscout.analysis.distortions import DistortionPlot, DistortionPoint, DistortionSeries
from defectscout.analysis.lowerings import THRESHOLDS, Lowering, Lowerings, LoweringShare
from defectscout.analysis.motifs import Motif, MotifGroup, NamedMinimum
from defectscout.analysis.paths import Paths, RelaxationPath
from defectscout.analysis.structure_map import ElementCoverage, MapPoint, StructureMap
from defectscout.analysis.trend import BondShare, ChargeAndBonds, Trend
from defectscout.core.defect import Bond
from defectscout.core.frames import RelaxationState
from defectscout.minima.bonds import new_bonds
from defectscout.reporting.figures.motif_examples import MotifExample
from minima.vacancy_cases import dimer, vacancy

DISTORTIONS = tuple(round(-0.6 + 0.1 * number, 1) for number in range(13))
TE_DIMER = Bond(("Te", "Te"), 2.75, (3, 7))


def a_trend() -> Trend:
    """Seven defects; one has excess electrons, one no ground state yet."""
    rows = (
        ChargeAndBonds("CdTe", "v_Cd_0", 2, 1, 0, 0, -0.72, True, ()),
        ChargeAndBonds("CdTe", "v_Cd_-2", 0, 0, 0, 0, 0.0, True, ()),
        ChargeAndBonds("CdTe", "v_Te_0", -2, 0, 1, 0, -0.31, None, ()),
        ChargeAndBonds("Sb2S3", "v_Sb_C1_0", 3, 2, 0, 0, -1.4, True, ()),
        ChargeAndBonds("Sb2S3", "v_Sb_Cs_0", 3, 1, 0, 1, -0.9, True, ()),
        ChargeAndBonds("GaCuS2", "v_Ga_0", 3, 0, 0, 0, None, False, ("Cu can be oxidised", "S–S bond near the site")),
        ChargeAndBonds("Li4SnS4", "v_Sn_0", 4, None, None, None, None, None, ()),
    )
    shares = (
        BondShare(-2, 0, 1, 1.0),
        BondShare(0, 0, 1, 1.0),
        BondShare(2, 1, 1, 1.0),
        BondShare(3, 0, 1, 1 / 3),
        BondShare(3, 1, 1, 1 / 3),
        BondShare(3, 2, 1, 1 / 3),
    )
    return Trend(rows, shares, 0.71)


def some_motifs(hosts: tuple[str, ...] = ("CdTe", "CdSe", "Sb2S3")) -> tuple[MotifGroup, ...]:
    """In each host a dimer as ground state, a symmetric minimum above it, and a trimer in the first host."""

    def minimum(host: str, rank: int, motif: Motif, name: str, bonds: tuple[Bond, ...]) -> NamedMinimum:
        return NamedMinimum(host, "v_Cd_0", rank, motif, name, bonds, 0.72 * rank, 0.72 * (rank - 1), "C2v")

    dimers = tuple(minimum(host, 0, Motif.DIMER, "Te–Te dimer", (TE_DIMER,)) for host in hosts)
    symmetric = tuple(minimum(host, 1, Motif.SYMMETRIC, "symmetric", ()) for host in hosts)
    trimer = minimum(hosts[0], 2, Motif.TRIMER, "Te trimer", (TE_DIMER, Bond(("Te", "Te"), 2.83, (3, 9))))
    return (
        MotifGroup(Motif.DIMER, tuple(sorted(hosts)), len(hosts), dimers),
        MotifGroup(Motif.SYMMETRIC, tuple(sorted(hosts)), 0, symmetric),
        MotifGroup(Motif.TRIMER, hosts[:1], 0, (trimer,)),
    )


def many_lowerings(count: int) -> Lowerings:
    """So many defects in hosts of seven each, lowered by 0 to 3 eV; the first is not known, every fifth unfinished."""
    rows = tuple(
        Lowering(
            host=f"Sb{number // 7 + 1}S3",
            defect=f"v_Sb_s{number % 7}_0",
            holes=3,
            lowering=None if number == 0 and count > 1 else -3.0 * abs(math.sin(1.7 * number + 1)) ** 3,
            rattled=-0.05 if number % 4 == 0 else None,
            finished=number % 5 != 1,
        )
        for number in range(count)
    )
    known = [row for row in rows if row.lowering is not None]
    shares = tuple(
        LoweringShare(edge, len(known), sum(-(row.lowering or 0.0) > edge for row in known), 2, 1)
        for edge in THRESHOLDS
    )
    return Lowerings(rows, shares)


def a_distortion_plot(host: str = "CdTe", defect: str = "v_Cd_0", both: bool = True) -> DistortionPlot:
    """Compressions end in a dimer, one start fails, and the reference-only search agrees but for one start."""

    def point(start: str, distortion: float | None, energy: float | None, direct: bool) -> DistortionPoint:
        rank = None if energy is None else (0 if energy < 0 else 1)
        return DistortionPoint(start, distortion, energy, rank, direct, "" if energy is not None else "SCF failed")

    def series(name: str, direct: bool, missed: float) -> DistortionSeries:
        starts = [
            point(f"Bond_Distortion_{100 * x:.1f}%", x,
                  None if x == 0.6 else (-0.72 if -0.6 < x < -0.2 and x != missed else 0.0), direct)
            for x in DISTORTIONS
        ]  # fmt: skip
        ends = [point("Unperturbed", None, 0.0, direct), point("Dimer", None, -0.72, direct)]
        return DistortionSeries(name, (*starts, *ends))

    found = (series("scouted, then reference", False, 9.0), series("reference only", True, -0.4))
    return DistortionPlot(host, defect, "relaxed Unperturbed", found if both else found[:1])


def a_map() -> StructureMap:
    """Four relaxations of seven steps in each of two hosts, on two stages."""
    points = tuple(
        MapPoint(
            host=host,
            defect="v_Cd_0",
            label=f"Bond_Distortion_{number}0.0%",
            stage=stage,
            step=step,
            last=step == 6,
            energy=20.0 * math.exp(-1.2 * step) * (number + 1),
            pca=(shift + 0.3 * step + 0.1 * number, math.sin(step + number) + lift),
            tsne=(3 * shift + 2 * math.cos(step + 2 * number), 5 * lift + step + number / 3),
        )
        for host, shift in (("CdTe", 0.0), ("CdSe", 4.0))
        for stage, lift in (("scout", 0.0), ("reference", 1.5))
        for number in range(4)
        for step in range(7)
    )
    return StructureMap(points, (0.62, 0.17), "SOAP of the defect site")


def some_elements() -> tuple[ElementCoverage, ...]:
    """Elements of four corners of the table, one of them not evaluated yet."""
    return (
        ElementCoverage("Li", 1, 2, 0),
        ElementCoverage("S", 3, 6, 812),
        ElementCoverage("Cd", 1, 1, 75),
        ElementCoverage("Te", 1, 1, 75),
        ElementCoverage("La", 1, 1, 3),
    )


def some_examples() -> tuple[MotifExample, ...]:
    """A dimer beside a vacancy, and the vacancy itself."""
    defect = vacancy()
    found = []
    for atoms, motif, name in (
        (dimer(defect), Motif.DIMER, "Te–Te dimer"),
        (defect.atoms, Motif.SYMMETRIC, "symmetric"),
    ):
        bonds = new_bonds(defect, atoms)
        found.append(MotifExample(NamedMinimum("CdTe", "v_Cd_0", 0, motif, name, bonds, 0.0, None, ""), defect, atoms))
    return tuple(found)


def an_acceleration(defects: int = 3) -> Acceleration:
    """The first defect has a reference-only search to compare with; the others do not, and the last is unfinished."""
    funnels = tuple(
        FunnelRow("CdTe" if n % 2 else "GaCuS2", f"v_Cd_s{n}_0", 15, 5 + n % 3, 3 + n % 2, 3, 4 if n == 0 else None,
                  True, True if n == 0 else None, -0.01 if n == 0 else None, n != defects - 1)
        for n in range(defects)
    )  # fmt: skip
    times = tuple(
        TimeRow("CdTe" if n % 2 else "GaCuS2", f"v_Cd_s{n}_0", 63, 900 + n, 2700.0, n != 0, 60 + n, 180.0, 20.0, 100.0,
                (900 + n) / (60 + n), 9.0, n != defects - 1)
        for n in range(defects)
    )  # fmt: skip
    return Acceleration(funnels, times, 1.0, 0.93)


def some_paths() -> Paths:
    """Falls from 60 eV, a merge, a failure, one that still runs, and a scouting on the surrogate's surface."""

    def path(label: str, surface: str, state: RelaxationState, rank: int | None, energies: tuple[float, ...],
             into: str = "") -> RelaxationPath:  # fmt: skip
        stage = "scout" if surface == "surrogate" else "reference"
        reason = "SCF failed" if state is RelaxationState.FAILED else ""
        steps = tuple(range(len(energies)))
        return RelaxationPath(label, stage, surface, state, reason, into, rank, steps, energies, len(steps), 3.0)

    def fall(first: float, last: float, steps: int) -> tuple[float, ...]:
        return (*(last + (first - last) * 0.6**step for step in range(steps)), last)

    lines = (
        path("Unperturbed", "reference", RelaxationState.CONVERGED, 1, fall(1.0, 0.7, 8)),
        path("Bond_Distortion_-40.0%", "reference", RelaxationState.CONVERGED, 0, fall(60.0, 0.0, 30)),
        path("Bond_Distortion_-50.0%", "reference", RelaxationState.MERGED, 0, fall(30.0, 0.02, 16),
             "Bond_Distortion_-40.0%"),
        path("Rattled", "reference", RelaxationState.FAILED, None, fall(12.0, 3.0, 4)),
        path("Dimer", "reference", RelaxationState.RUNNING, None, fall(9.0, 2.0, 5)),
        *(
            path(f"start {n}", "surrogate", RelaxationState.CONVERGED, None, fall(2.8 - n / 3, 0.0, 5 + n))
            for n in range(8)
        ),
    )  # fmt: skip
    return Paths("CdTe", "v_Cd_0", lines, (("reference", -101.0), ("surrogate", -110.0)))
