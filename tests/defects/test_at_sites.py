"""Defects at given sites: the same as doped's where doped can make them, and their names elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure

from defectscout.core.defect import Defect, Host
from defectscout.core.errors import DefectSelectionError
from defectscout.core.frames import Frame, Prediction, Relaxation, RelaxationState
from defectscout.core.progress import SilentProgress
from defectscout.defects.at_sites import defects_at_sites, selecting_patterns
from defectscout.defects.generate import generate_defects
from defectscout.defects.settings import DefectSettings, DefectSite
from defectscout.hosts.check import check_host
from defectscout.hosts.read import read_structure
from defectscout.hosts.settings import HostSettings, SupercellSettings
from defectscout.hosts.supercell import choose_supercell, given_supercell
from defectscout.sampling.sample import sample
from defectscout.sampling.settings import SamplingSettings
from defectscout.workflow.serial import defects_from_json, defects_to_json
from defectscout.workflow.shakenbreak_layout import write_layout
from defectscout.workflow.stages.defects import make_defects
from listening import Listening

SMALL = SupercellSettings(min_image_distance=6.0, matrix=((2, 0, 0), (0, 2, 0), (0, 0, 2)))
GIVEN = SupercellSettings(min_image_distance=6.0, as_given=True)
ALL_KINDS = ("vacancies", "antisites", "substitutions")


@pytest.fixture(scope="module")
def given_host(cdte_cif: Path) -> Host:
    primitive = check_host(read_structure(str(cdte_cif)), HostSettings(), "CdTe")
    return given_supercell(choose_supercell(primitive, SMALL, "CdTe", 0.01).supercell, GIVEN, "CdTe")


@pytest.fixture(scope="module")
def mixed_host(given_host: Host) -> Host:
    """Two of the tellurium atoms are selenium."""
    structure = given_host.supercell.copy()
    for index in [k for k, site in enumerate(structure) if site.specie.symbol == "Te"][-2:]:
        structure.replace(index, "Se")
    return Host(structure, structure, np.eye(3), "CdTe")


def at(*atoms: int, **names: str) -> tuple[DefectSite, ...]:
    return tuple(DefectSite(atom=atom, name=names.get(f"s{atom}", f"s{atom}"), count=4) for atom in atoms)


def made(host: Host, **settings: object) -> dict[str, Defect]:
    defects = defects_at_sites(host, DefectSettings.model_validate(settings), SilentProgress())
    assert len({defect.label for defect in defects}) == len(defects)
    return {defect.label: defect for defect in defects}


def atom_at(host: Host, place: np.ndarray) -> int:
    difference = host.supercell.frac_coords - place
    return int(np.abs(difference - np.round(difference)).sum(axis=1).argmin())


@pytest.mark.parametrize("states", [None, {"Cd": 2, "Te": -2, "As": -3}], ids=["guessed", "given"])
def test_they_equal_those_of_doped_in_an_ordered_host(given_host: Host, states: dict[str, int] | None) -> None:
    common = {"select": ALL_KINDS, "charges": None, "extrinsic": ("As",), "oxidation_states": states}
    expected = {d.label: d for d in generate_defects(given_host, DefectSettings.model_validate(common))}
    atoms = {atom_at(given_host, defect.site) for defect in expected.values()}
    assert len(atoms) == 2
    found = made(given_host, **common, sites=at(*atoms))
    without_site = {f"{d.name.rpartition('_')[0]}_{label.rpartition('_')[2]}": d for label, d in found.items()}
    assert without_site.keys() == expected.keys()
    assert len(expected) > 12
    for label, other in expected.items():
        defect = without_site[label]
        assert defect.atoms == other.atoms, label
        assert defect.bulk == other.bulk
        np.testing.assert_allclose(defect.site, other.site, atol=1e-9)
        assert (defect.kind, defect.charge, defect.excess_charge) == (other.kind, other.charge, other.excess_charge)
        assert defect.site_symmetry == other.site_symmetry
        assert defect.multiplicity == 4
        assert defect.entry is not None
        assert other.entry is not None
        assert defect.entry.defect.oxi_state == other.entry.defect.oxi_state, label
        assert defect.entry.defect_supercell == other.entry.defect_supercell
        assert defect.entry.name == defect.label


def test_every_defect_of_a_site_is_there(mixed_host: Host) -> None:
    found = made(mixed_host, select=("all",), extrinsic=("As",), sites=at(0, 8, 15, s0="Te3Se", s8="Cd4", s15="Cd4"))
    assert set(found) == {
        "v_Cd_Te3Se_0", "Te_Cd_Te3Se_0", "Se_Cd_Te3Se_0", "As_Cd_Te3Se_0",
        "v_Te_Cd4_0", "Cd_Te_Cd4_0", "Se_Te_Cd4_0", "As_Te_Cd4_0",
        "v_Se_Cd4_0", "Cd_Se_Cd4_0", "Te_Se_Cd4_0", "As_Se_Cd4_0",
    }  # fmt: skip
    for label, defect in found.items():
        brought, removed = label.split("_")[:2]
        lost = list(defect.bulk.symbols)
        lost.remove(removed)
        assert sorted(defect.atoms.symbols) == sorted(lost + ([] if brought == "v" else [brought]))


def test_one_in_place_of_another_that_shares_its_sites_is_no_defect(mixed_host: Host) -> None:
    shared = DefectSite(atom=8, name="Cd4", alike=("Se",))
    assert set(made(mixed_host, select=("antisites",), sites=(shared,))) == {"Cd_Te_Cd4_0"}


def test_excess_charges_of_a_mixed_crystal(mixed_host: Host) -> None:
    found = made(mixed_host, select=("vacancies",), charges=(0, -2), sites=at(0, 15))
    assert {label: defect.excess_charge for label, defect in found.items()} == {
        "v_Cd_s0_0": 2, "v_Cd_s0_-2": 0, "v_Se_s15_0": -2, "v_Se_s15_-2": -4,
    }  # fmt: skip


def test_one_oxidation_state_for_each_element() -> None:
    """Bond valences on ideal sites make Hg(I) and S(-I) of an alloy of zincblende; its excess charges would differ."""
    rng = np.random.default_rng(4)
    cell = Structure.from_spacegroup("F-43m", [[6.48, 0, 0], [0, 6.48, 0], [0, 0, 6.48]], ["Cd", "Te"],
                                     [[0, 0, 0], [0.25, 0.25, 0.25]]).make_supercell([2, 2, 2])  # fmt: skip
    stock = iter(rng.permutation(["Cd"] * 16 + ["Hg"] * 16))
    anions = iter(rng.permutation(["Te"] * 16 + ["S"] * 16))
    symbols = [str(next(stock if site.specie.symbol == "Cd" else anions)) for site in cell]
    structure = Structure(cell.lattice, symbols, cell.frac_coords)
    host = Host(structure, structure, np.eye(3), "alloy")
    progress = Listening()
    settings = DefectSettings(select=("cation-vacancies",), sites=at(*range(0, 64, 8)))
    defects = defects_at_sites(host, settings, progress)
    assert {defect.excess_charge for defect in defects} == {2}
    assert not progress.warnings


@pytest.mark.parametrize("label", ["v_Cd_Te2Se2_0", "As_Te_Cd4_-1"])
def test_a_record_gives_them_back(mixed_host: Host, label: str) -> None:
    charge = int(label.rpartition("_")[2])
    found = made(
        mixed_host, select=("vacancies", "substitutions"), charges=(charge,), extrinsic=("As",),
        sites=at(0, 8, s0="Te2Se2", s8="Cd4"),
    )  # fmt: skip
    defect = found[label]
    (again,) = defects_from_json(defects_to_json((defect,)))
    assert again.atoms == defect.atoms
    assert again.bulk == defect.bulk
    assert again.label == label
    assert (again.excess_charge, again.multiplicity, again.kind) == (defect.excess_charge, 4, defect.kind)
    assert again.entry is not None
    assert again.entry.name == label
    assert again.entry.charge_state == charge


def test_shakenbreaks_and_dopeds_readers_take_the_names(mixed_host: Host, tmp_path: Path) -> None:
    from doped.utils.plotting import format_defect_name

    names = {"s0": "Te3Se", "s1": "Te2Se2-Te7Se5", "s2": "Te3Se_s2"}
    found = made(mixed_host, select=("v_Cd",), sites=at(0, 1, 2, **names))
    assert list(found) == [f"v_Cd_{name}_0" for name in names.values()]
    for label, defect in found.items():
        assert format_defect_name(label, include_site_info_in_name=True)
        sampling = sample(defect, SamplingSettings(distortions=(-0.4, -0.2)))
        ends = {}
        for start in sampling.structures:
            energy = -51.0 if start.label == "Bond_Distortion_-20.0%" else -50.0
            frame = Frame(start.atoms, Prediction(energy, np.zeros((len(start.atoms), 3))), step=3)
            ends[start.label] = Relaxation(start.label, frame, -49.0, RelaxationState.CONVERGED, "", 4)
        write_layout(tmp_path, defect, sampling.metadata, sampling.structures, ends)
    for command in ("snb-plot", "snb-groundstate"):
        program = Path(sys.executable).parent / command
        if not program.exists():
            pytest.skip(f"{command} is not installed beside {sys.executable}")
        environment = {"PATH": "/usr/bin:/bin", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
        done = subprocess.run([program], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    for label in found:
        assert (tmp_path / label / f"{label}.png").stat().st_size > 10_000
        lowest = (tmp_path / label / "Bond_Distortion_-20.0%" / "CONTCAR").read_bytes()
        assert (tmp_path / label / "Groundstate" / "POSCAR").read_bytes() == lowest


def test_a_campaign_makes_them(given_host: Host) -> None:
    settings = DefectSettings(select=("v_Cd",), sites=at(3))
    (defect,) = make_defects("CdTe.vasp", given_host, settings, SilentProgress())
    assert defect.label == "v_Cd_s3_0"
    np.testing.assert_allclose(defect.site, given_host.supercell[3].frac_coords % 1.0, atol=1e-12)


def test_patterns_that_select(mixed_host: Host) -> None:
    settings = DefectSettings(select=("v_Se", "v_Cd_-2", "v_S", "antisites"), sites=at(0))
    assert selecting_patterns(mixed_host, settings) == ("v_Cd_-2", "antisites")
    assert selecting_patterns(mixed_host, DefectSettings(select=("v_Se",), sites=at(0))) == ()


def change(**settings: object) -> Callable[[Host], DefectSettings]:
    return lambda _: DefectSettings.model_validate({"select": ("v_Cd",), "sites": at(0), **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (change(select=("v_Se",)), r"The pattern 'v_Se' selects no defect.*There are: v_Cd_s0, Te_Cd_s0"),
        (change(sites=at(16)), r"names atom 16 \(counted from 0\).* has 16"),
        (change(sites=at(0, 1, s0="Te4", s1="Te4")), r"two atoms with the name 'Te4' a defect v_Cd_Te4.*0 and 1"),
        (change(select=("interstitials",)), "'interstitials' asks for interstitials, which are not made"),
        (change(select=("Te_i",)), "'Te_i' asks for interstitials"),
        (change(extrinsic=("Te",)), "Te cannot be extrinsic in CdTe"),
        (change(oxidation_states={"Cd": 2}), "oxidation_states lacks Te"),
        (change(oxidation_states={"Cd": 2, "Te": -2, "S": -2}), "oxidation_states names S"),
    ],
)
def test_what_cannot_be_made(given_host: Host, settings: Callable[[Host], DefectSettings], message: str) -> None:
    with pytest.raises(DefectSelectionError, match=message):
        defects_at_sites(given_host, settings(given_host), SilentProgress())


def test_sites_are_those_of_a_given_supercell(cdte_cif: Path) -> None:
    primitive = check_host(read_structure(str(cdte_cif)), HostSettings(), "CdTe")
    with pytest.raises(DefectSelectionError, match=r"Add the setting supercell\.as_given"):
        defects_at_sites(choose_supercell(primitive, SMALL, "CdTe", 0.01), DefectSettings(sites=at(0)), Listening())


def test_that_there_are_no_interstitials_is_told(given_host: Host) -> None:
    progress = Listening()
    defects_at_sites(given_host, DefectSettings(select=("ALL",), sites=at(0)), progress)
    assert progress.warnings == ["Interstitials are not among all defects: they are not made at given sites."]
