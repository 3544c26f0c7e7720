"""Reports filled by hand, with real structures: a vacancy in zinc blende whose neighbours pair up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.geometry import find_mic

from defectscout.core.defect import Bond
from defectscout.reporting.report.document import Answer, Citation, Model, Plot, Report, Section
from defectscout.reporting.table import Column, Table

HOSTILE = '<script>alert("v")</script>'
"""A label that no defect has, and that a page must not run."""

MINIMA_COLUMNS = (
    Column("Rank", "rank", numeric=True),
    Column("Structure", "structure"),
    Column("Energy", "energy_eV", "eV", numeric=True, signed=True),
    Column("New bonds", "new_bonds"),
    Column("Site symmetry", "site_symmetry"),
    Column("Found from", "starts", numeric=True),
    Column("Converged", "converged"),
)


def vacancy_models(key: str, sizes: tuple[int, int, int] = (3, 3, 3), minima: int = 3) -> tuple[Model, ...]:
    """The unperturbed vacancy and its minima, each with one pair of anions brought together, off the grid of digits."""
    host = bulk("CdTe", "zincblende", a=6.61).repeat(sizes)
    middle = host.cell.array.sum(axis=0) / 2
    cations = [atom.index for atom in host if atom.symbol == "Cd"]
    site_index = min(cations, key=lambda index: np.linalg.norm(host.positions[index] - middle))
    site = host.positions[site_index].copy()
    start = host.copy()
    del start[site_index]
    start.positions += 1e-3 * np.sin(np.arange(3 * len(start)).reshape(-1, 3))  # digits in all places
    models = [
        _model(f"{key}-unperturbed", "Unperturbed, relaxed", "0.00 eV · Td · no new bonds", start, start, site, ())
    ]
    tellurium = np.array([atom.index for atom in start if atom.symbol == "Te"])
    gaps = find_mic(start.positions[tellurium] - site, start.cell)[1]
    nearest = tellurium[np.argsort(gaps, kind="stable")[:4]]
    for rank in range(minima):
        moved = start.copy()
        one, other = nearest[list(((0, 1), (2, 3), (0, 2), (1, 3), (0, 3))[rank % 5])]
        step = find_mic(moved.positions[other] - moved.positions[one], moved.cell)[0]
        length = 2.75 + 0.02 * rank
        push = step * (1 - length / np.linalg.norm(step)) / 2
        moved.positions[one] += push
        moved.positions[other] -= push
        bond = Bond(("Te", "Te"), length, (int(one), int(other)))
        title = "Ground state" if rank == 0 else f"Metastable {rank}"
        energy = -0.755 + 0.13 * rank
        name = "ground-state" if rank == 0 else f"metastable-{rank}"
        models.append(_model(f"{key}-{name}", title, f"{energy:.2f} eV · C2v · {bond}", moved, start, site, (bond,)))
    return tuple(models)


def _model(
    key: str, title: str, caption: str, atoms: Atoms, start: Atoms, site: np.ndarray, bonds: tuple[Bond, ...]
) -> Model:
    displacements = find_mic(atoms.positions - start.positions, start.cell)[1]
    return Model(key, title, caption, atoms, site, displacements, bonds)


def answer(host: str, defect: str, rank: int = 0, finished: bool = True) -> Answer:
    lowering = None if not finished and rank % 2 else -0.755 + 0.11 * (rank % 6)
    level = ("high", "moderate", "low")[rank % 3] if finished else "low"
    value = (
        "no answer yet"
        if lowering is None
        else f"a Te–Te dimer (2.75 Å), {lowering:+.2f} eV below the unperturbed structure"
    )
    return Answer(
        host=host,
        defect=defect,
        anchor=f"{host}-{defect}",
        sentence=f"{defect} in {host}: {value}.",
        level=level,
        finished=finished,
        status="finished after 4 rounds" if finished else "waits for 3 reference relaxations",
        lowering=lowering,
        calls=120 + 37 * (rank % 11),
        saved=None if rank % 4 == 3 else 0.82 - 0.03 * (rank % 9),
    )


def minima_table(minima: int) -> Table:
    rows = tuple(
        (
            rank,
            "dimer" if rank < minima - 1 else "symmetric",
            -0.7551234567 + 0.13 * rank,
            "Te–Te 2.75 Å",
            "C2v",
            9 - rank,
            True,
        )
        for rank in range(minima)
    )
    unknown = (minima, "split", None, "", "", None, False)
    return Table(
        "minima", "Minima, lowest first", MINIMA_COLUMNS, (*rows, unknown), ("Energies against the unperturbed one.",)
    )


def distortion_plot(key: str) -> Plot:
    distortions = [-0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    energies = [-0.755, -0.755, -0.755, -0.62, 0.0, 0.0, 0.0, 0.0, 0.0, -0.03, -0.62, -0.62]
    columns = (
        Column("Distortion", "distortion", numeric=True, digits=1, signed=True),
        Column("Energy", "energy_eV", "eV", numeric=True, signed=True),
    )
    return Plot(
        key=f"{key}-distortion",
        title="Energy against distortion",
        caption="Starts compressed by 40 % or more fall into the dimer; the others return to the symmetric structure.",
        data=(
            {"type": "scatter", "mode": "lines+markers", "name": "scouted", "x": distortions, "y": energies},
            {
                "type": "scatter",
                "mode": "markers",
                "name": "reference only",
                "x": distortions[::2],
                "y": energies[::2],
                "marker": {"color": "#000000", "symbol": "x", "size": 9},
            },
        ),
        layout={
            "xaxis": {"title": {"text": "Bond distortion"}, "tickformat": ".0%"},
            "yaxis": {"title": {"text": "Energy / eV"}},
        },
        table=Table(
            f"{key}-distortion", "Energy against distortion", columns, tuple(zip(distortions, energies, strict=True))
        ),
    )


def section(
    host: str,
    defect: str,
    rank: int = 0,
    finished: bool = True,
    sizes: tuple[int, int, int] = (3, 3, 3),
    minima: int = 3,
) -> Section:
    given = answer(host, defect, rank, finished)
    key = given.anchor
    return Section(
        key=key,
        title=f"{defect} in {host}",
        answer=given,
        facts=(
            ("Excess charge", "2 holes"),
            ("Site symmetry in the host", "Td"),
            ("Atoms", str(2 * int(np.prod(sizes)) - 1)),
            ("Electronic state", "neutral, singlet"),
        ),
        reasons=(
            "three independent starts fell into it",
            "the surrogate and the reference rank the minima alike",
            "the next minimum lies 0.13 eV higher",
        ),
        lines=(
            "15 sampling structures led to 5 surrogate minima, of which 3 were relaxed with the reference.",
            "Mean absolute error of the surrogate on what the reference has seen: 8 meV/atom in energy.",
        ),
        models=vacancy_models(key, sizes, minima) if minima else (),
        minima=minima_table(minima),
        set_aside=Table("set-aside", "Set aside", (Column("Start", "start"), Column("Why", "why")), ()),
        plots=(distortion_plot(key),),
    )


CITATIONS = (
    Citation(
        "mosquera-lois_2024",
        "for the search strategy",
        "I. Mosquera-Lois, S. R. Kavanagh, A. M. Ganose, A. Walsh, Machine-learning structural reconstructions for "
        "accelerated point defect calculations, npj Comput. Mater. 10, 121 (2024).",
        "10.1038/s41524-024-01303-9",
        "@article{mosquera-lois_2024,\n  title = {Machine-learning structural reconstructions},\n  year = {2024}\n}",
    ),
    Citation("ase", "for atoms", "A. H. Larsen et al., The atomic simulation environment (2017).", "", "@misc{ase}"),
)


def report_of(sections: tuple[Section, ...], finished: bool = True) -> Report:
    answers = tuple(item.answer for item in sections)
    done = sum(item.finished for item in answers)
    waiting = f"{done} of {len(answers)} searches have ended; what is below may change."
    overview = Table(
        "lowerings",
        "Energy lowerings",
        (Column("Defect", "defect"), Column("Lowering", "lowering_eV", "eV", numeric=True, signed=True)),
        tuple((item.defect, item.lowering) for item in answers),
    )
    return Report(
        title=f"Ground states of {len(answers)} point defect{'s' if len(answers) != 1 else ''} in CdTe",
        subtitle="Scouted with M3GNet tuned on the fly, answered by GFN1-xTB, in supercells of 54 atoms",
        status=f"All {len(answers)} searches have ended." if finished else waiting,
        finished=finished,
        answers=answers,
        costs=("412 reference force calls (1 h 58 min), 18 204 surrogate calls.", "Tuning took 11 min."),
        notes=() if finished else ("Charges and spins of the reference are not shown: tblite is not installed.",),
        sections=sections,
        plots=(
            Plot(
                "lowerings",
                "Energy lowerings",
                "How far each ground state lies below the relaxed unperturbed structure.",
                (
                    {
                        "type": "bar",
                        "x": [item.defect for item in answers][:40],
                        "y": [item.lowering for item in answers][:40],
                    },
                ),
                {"yaxis": {"title": {"text": "Lowering / eV"}}},
                overview,
            ),
        ),
        tables=(overview,),
        methods=(
            "Sampling structures of v_Cd_0 were made with ShakeNBreak and relaxed with M3GNet until forces fell below "
            "0.05 eV/Å.",
            "Distinct minima were relaxed with GFN1-xTB.",
        ),
        citations=CITATIONS,
        settings=(("CdTe", 'strategy = "learn"\n\n[sampling]\nrattle = 0.15\n'),),
        versions=Table(
            "versions",
            "Versions of the packages",
            (Column("Package", "package"), Column("Version", "version")),
            (("ase", "3.26.0"), ("defectscout", "0.7.0"), ("torch", "2.7.1")),
        ),
    )


def one_defect() -> Report:
    return report_of((section("CdTe", "v_Cd_0"),))


def three_defects() -> Report:
    names = ("v_Cd_0", "v_Cd_-1", "Te_i_Td_Te2.83_+2")
    return report_of(tuple(section("CdTe", name, rank) for rank, name in enumerate(names)))


def half_finished() -> Report:
    return report_of(
        (section("CdTe", "v_Cd_0"), section("CdTe", "v_Cd_-1", 1, finished=False, minima=0)), finished=False
    )


def with_failures() -> Report:
    """Failed relaxations, a structure with an atom that the host lacks, and names that must not be taken for markup."""
    whole = section("CdTe", "v_Cd_0")
    extra = whole.models[1]
    displacements = extra.displacements.copy()
    displacements[-1] = np.nan
    failed = Table(
        "set-aside",
        "Set aside",
        (Column("Start", "start"), Column("Why", "why")),
        (("Bond_Distortion_-60.0%", "SCF did not converge after 250 iterations & 3 tries"), ("Rattled", HOSTILE)),
    )
    hostile = replace(
        whole.answer, defect=HOSTILE, sentence=f"{HOSTILE} in CdTe: nothing found", lowering=None, level="low"
    )
    torn = replace(extra, displacements=displacements, caption=HOSTILE)
    nameless = replace(
        section("CdTe", "Cd_i_+2", 1, minima=1),
        answer=replace(hostile, anchor="CdTe-Cd_i_+2"),
        title=f"{HOSTILE} in CdTe",
        facts=(("Atoms", HOSTILE),),
        set_aside=failed,
    )
    return report_of((replace(whole, set_aside=failed, models=(whole.models[0], torn)), nameless))


def many_defects(number: int, sizes: tuple[int, int, int] = (3, 3, 3), minima: int = 3) -> Report:
    names = [f"v_Cd{index}_{index % 5 - 2:+d}" if index % 5 != 2 else f"v_Cd{index}_0" for index in range(number)]
    hosts = ("CdTe", "GaCuS2")
    return report_of(
        tuple(section(hosts[index % 2], name, index, sizes=sizes, minima=minima) for index, name in enumerate(names))
    )
