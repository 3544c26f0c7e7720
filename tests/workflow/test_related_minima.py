"""What the store remembers of related hosts' defects, as structures to start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.io.ase import AseAtomsAdaptor

from defectscout.core.defect import UNPERTURBED, Defect, Host
from defectscout.core.errors import DatasetError
from defectscout.core.frames import Prediction
from defectscout.learning.dataset import write_dataset
from defectscout.learning.frames import FrameOrigin, LabelledFrame
from defectscout.minima.bonds import new_bonds
from defectscout.workflow.campaign import Source, open_campaign
from defectscout.workflow.related_minima import RATTLE, WINDOW, related_structures, replacements
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.stages.sampling import prepare_sampling, read_metadata, sampling_structures
from defectscout.workflow.store import keep
from defectscout.workflow.store_entry import FRAMES
from listening import Listening
from minima.vacancy_cases import CUBIC, FCC, breathing, dimer, neighbours, vacancy, vectors_from_site
from sampling.defect_examples import selenide
from stored_models import model_folder, zincblende

DEFECT = vacancy(CUBIC)
SCALE = 0.93


HERE = selenide(DEFECT, SCALE)
CDSE = Host(zincblende("Cd", "Se", 6.1), AseAtomsAdaptor.get_structure(HERE.bulk), np.eye(3), "CdSe.cif")


def trimer(defect: Defect) -> Atoms:
    """Three of the four neighbours drawn to the site."""
    vectors, atoms = vectors_from_site(defect), defect.atoms.copy()
    for index in neighbours(defect)[:3]:
        atoms.positions[index] -= 0.42 * vectors[index]
    return atoms


def frames(defect: Defect = DEFECT, charge: int = 0, method: str = "gfn1-xtb") -> list[LabelledFrame]:
    """A search of V_Cd in CdTe: 3 eV below the symmetric structure a dimer, twice, and 0.3 eV above it a trimer."""

    def path(start: str, *steps: tuple[Atoms, float, float]) -> list[LabelledFrame]:
        found = []
        for step, (atoms, energy, force) in enumerate(steps):
            forces = np.zeros((len(atoms), 3))
            forces[0, 0] = force
            origin = FrameOrigin("CdTe", "v_Cd", charge, start, step, method, "campaign")
            found.append(LabelledFrame(atoms, Prediction(energy, forces), origin))
        return found

    return [
        *path(UNPERTURBED, (defect.atoms, 3.2, 0.3), (breathing(defect), 3.0, 0.01)),
        *path("Dimer", (dimer(defect, length=2.4), 5.0, 2.0), (dimer(defect), 0.0, 0.02)),
        *path("Bond_Distortion_-40.0%", (dimer(defect, (1, 3)), 0.001, 0.02)),
        *path("Bond_Distortion_-20.0%", (trimer(defect), 0.3, 0.05)),
        *path("Rattled", (breathing(defect, 0.1), 0.2, 0.5)),  # on its way
        *path("Bond_Distortion_30.0%", (breathing(defect, -0.3), WINDOW + 0.01, 0.01)),
    ]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEFECTSCOUT_STORE", str(tmp_path / "store"))
    return tmp_path


def stored(store: Path, given: Sequence[LabelledFrame], charge: int = 0) -> Path:
    model = model_folder(store / f"model-{len(list(store.iterdir()))}", charges=(charge,))
    return keep(model, given, zincblende("Cd", "Te"), ["v_Cd_0"], charge, store).model


def starting_from(model: Path | str, **more: object) -> SearchSettings:
    overrides = {"strategy": "scout", "surrogate": {"name": str(model)}, "reference": {"name": "gfn1-xtb"}} | more
    return merge(merge(SearchSettings(), {"sampling": {"rattle": 0.0}}, "the test"), overrides, "the test")


def labels(settings: SearchSettings, defect: Defect = HERE, host: Host = CDSE) -> list[str]:
    return [structure.label for structure in related_structures(settings, host, [defect])[0].structures]


def test_low_minima_that_differ_are_carried_over(store: Path) -> None:
    found = related_structures(starting_from(stored(store, frames())), CDSE, [HERE])[0].structures
    assert [structure.label for structure in found] == ["v_Cd_0_of_CdTe", "v_Cd_0_of_CdTe-2"]
    pair, three = (structure.atoms for structure in found)
    assert np.allclose(pair.cell.array, HERE.atoms.cell.array)
    (bond,) = new_bonds(HERE, pair)
    assert bond.species == ("Se", "Se")
    assert bond.length == pytest.approx(SCALE * 2.75, abs=1e-6)
    near = neighbours(HERE)[:3]
    assert np.allclose(
        three.get_distance(*near[:2], mic=True), SCALE * trimer(DEFECT).get_distance(*near[:2], mic=True)
    )


def test_they_are_rattled_so_that_no_symmetry_stays(store: Path) -> None:
    model = stored(store, frames())

    def structure(**sampling: object) -> Atoms:
        return related_structures(starting_from(model, sampling=sampling), CDSE, [HERE])[0].structures[0].atoms

    still, rattled = structure(rattle=0.0), structure(rattle=None)
    moved = rattled.positions - still.positions
    near = still.get_distances(neighbours(HERE)[0], range(len(still)), mic=True)  # of an atom beside the site
    touched = np.abs(moved).max(axis=1) > 1e-9
    assert np.std(moved[touched]) == pytest.approx(RATTLE, rel=0.2)
    assert not touched[near > 5.0 + 3.0].any()
    assert touched[near < 5.0 - 3.0].all()
    assert np.array_equal(rattled.positions, structure(rattle=0.3).positions)  # reproducible, and no more than that
    assert not np.allclose(rattled.positions, structure(rattle=None, seed=7).positions)
    assert np.allclose(structure(rattle=0.02).positions - still.positions, 0.02 / RATTLE * moved)


def test_what_has_no_symmetry_is_not_rattled(store: Path) -> None:
    bent = frames()
    for frame in bent[2:]:
        frame.atoms.positions[0] += [0.3, 0.0, 0.1]
        frame.atoms.positions[1] += [0.0, 0.2, 0.0]
    settings = [starting_from(stored(store, bent), sampling={"rattle": rattle}) for rattle in (0.0, None)]
    still, other = (related_structures(one, CDSE, [HERE])[0].structures for one in settings)
    assert len(still) == 2
    for one, two in zip(still, other, strict=True):
        assert np.array_equal(one.atoms.positions, two.atoms.positions)


def test_each_defect_has_its_own(store: Path) -> None:
    folder = model_folder(store / "mine")
    ionised = replace(HERE, charge=-2)
    write_dataset(folder / FRAMES, [*frames(), *frames(charge=-2)[:4]])
    other = replace(HERE, name="v_Se")
    both, one, none = related_structures(starting_from(folder), CDSE, [HERE, ionised, other])
    assert [len(found.structures) for found in (both, one)] == [2, 1]
    assert none.left_out == ()


def test_damaged_frames_are_said_to_be_the_store_s(store: Path) -> None:
    model = stored(store, frames())
    damaged = model.parent / FRAMES
    damaged.write_bytes(b"no database" * 1000)
    with pytest.raises(DatasetError, match=r"not a database\. .* defectscout models remove CdTe-gfn1-xtb-q0-1$"):
        related_structures(starting_from(model), CDSE, [HERE])


def test_how_many_is_a_setting(store: Path) -> None:
    model = stored(store, frames())
    assert labels(starting_from(model, sampling={"related": 1})) == ["v_Cd_0_of_CdTe"]
    for chosen in ({"related": 0}, {"none": True, "rattle": None}, {"folder": store, "rattle": None}):
        assert labels(starting_from(model, sampling=chosen)) == []


def test_a_search_that_starts_from_no_earlier_one_has_none(store: Path) -> None:
    model = stored(store, frames())
    assert labels(starting_from("chgnet")) == []
    assert labels(starting_from(model, strategy="reference-only")) == []


def test_a_folder_beside_the_store_may_hold_frames_as_well(store: Path) -> None:
    model = model_folder(store / "mine")
    write_dataset(model / FRAMES, frames())
    assert labels(starting_from(model)) == ["v_Cd_0_of_CdTe", "v_Cd_0_of_CdTe-2"]


def test_other_charges_methods_and_supercells_are_left_out(store: Path) -> None:
    folder = model_folder(store / "mine")
    write_dataset(folder / FRAMES, [*frames(charge=-1), *frames(method="gfn2-xtb"), *frames(vacancy(FCC))])
    found = related_structures(starting_from(folder), CDSE, [HERE])[0]
    assert found.structures == ()
    assert found.left_out == ("CdTe v_Cd_0: its supercell has 53 atoms, and this one 63",)
    assert len(labels(starting_from(folder), replace(HERE, charge=-1))) == 2


def test_without_its_unperturbed_structure_nothing_is_known_of_a_defect(store: Path) -> None:
    rest = [frame for frame in frames() if frame.origin.start != UNPERTURBED]
    found = related_structures(starting_from(stored(store, rest)), CDSE, [HERE])[0]
    assert found.structures == ()
    assert found.left_out == ("CdTe v_Cd_0: its unperturbed structure is not among the frames",)


def test_other_defects_are_left_out_without_a_word(store: Path) -> None:
    """Of another host's antisites nothing is expected."""
    others = [replace(frame, origin=replace(frame.origin, defect="Te_Cd")) for frame in frames(vacancy(FCC))]
    found = related_structures(starting_from(stored(store, others)), CDSE, [HERE])[0]
    assert (found.structures, found.left_out) == ((), ())


def test_two_models_of_one_host_lend_structures_under_different_names(store: Path) -> None:
    pair = [frame for frame in frames() if frame.origin.start in (UNPERTURBED, "Dimer")]
    three = [frame for frame in frames() if frame.origin.start in (UNPERTURBED, "Bond_Distortion_-20.0%")]
    stored(store, pair)
    model = stored(store, three)
    assert labels(starting_from(model)) == ["v_Cd_0_of_CdTe", "v_Cd_0_of_CdTe-2"]


def test_a_structure_with_atoms_on_top_of_each_other_is_left_out(store: Path) -> None:
    some = frames()
    some[3].atoms.positions[0] = some[3].atoms.positions[1] + [0.4, 0, 0]
    found = related_structures(starting_from(stored(store, some)), CDSE, [HERE])[0]
    assert [one.label for one in found.structures] == ["v_Cd_0_of_CdTe", "v_Cd_0_of_CdTe-2"]  # the other dimer
    (reason,) = found.left_out
    assert reason.startswith("CdTe v_Cd_0: two atoms would be 0.3")


ELEMENTS = st.sampled_from(["Cd", "Zn", "Hg", "Mg", "Te", "Se", "S", "O", "Cu", "Ga", "In", "Cl"])


@given(st.lists(ELEMENTS, unique=True, max_size=4), st.lists(ELEMENTS, unique=True, max_size=4))
def test_no_element_takes_two_places(theirs: list[str], own: list[str]) -> None:
    found = replacements(theirs, own)
    assert len(set(found.values())) == len(found)
    assert set(found) <= set(theirs)
    assert set(found.values()) <= set(own)
    assert all(found[symbol] == symbol for symbol in theirs if symbol in own)


def test_the_nearest_kin_takes_the_place() -> None:
    assert replacements(["Zn", "S"], ["S", "Mg"]) == {"Zn": "Mg", "S": "S"}  # of two valence electrons
    assert replacements(["Cd", "Te"], ["Mg", "Zn", "Se"]) == {"Cd": "Zn", "Te": "Se"}  # the group comes first
    assert replacements(["Cd", "Te"], ["Ga", "N"]) == {}


def test_a_campaign_says_what_it_starts_from_and_what_not(store: Path) -> None:
    """Each reason once, however many defects it keeps from starting."""
    settings, progress = starting_from(stored(store, frames())), Listening()
    small = selenide(vacancy(FCC), SCALE)
    defects = [HERE, replace(small, name="v_Cd_s1"), replace(small, name="v_Cd_s2")]
    with open_campaign(store / "campaign", settings, Source("mp-1", "")) as campaign:
        prepare_sampling(campaign, CDSE, defects, progress)
        metadata = read_metadata(campaign)
        starts = [structure.label for structure in sampling_structures(campaign, HERE)]
    assert progress.messages == [
        "v_Cd_0: starts from related hosts as well: v_Cd_0_of_CdTe, v_Cd_0_of_CdTe-2",
        "v_Cd_s1_0 and 1 more: nothing to start from in CdTe v_Cd_0: its supercell has 63 atoms, and this one 53",
    ]
    assert metadata["v_Cd_0"].related == ("v_Cd_0_of_CdTe", "v_Cd_0_of_CdTe-2")
    assert metadata["v_Cd_s1_0"].related == ()
    assert starts[-3:] == ["Dimer", "v_Cd_0_of_CdTe", "v_Cd_0_of_CdTe-2"]
