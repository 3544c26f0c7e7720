import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.sampling.labels import (
    bond_distortion_label,
    borrowed_label,
    energy_key,
    folder_name,
    label_of_folder,
    pair_label,
)

KNOWN = [
    "Unperturbed",
    "Rattled",
    "Dimer",
    *(bond_distortion_label(step / 10) for step in range(-6, 7)),
    pair_label(-0.6, ((29, "Te"), (31, "Se"))),
    folder_name("my start_2"),
]
BORROWED = [
    *(
        borrowed_label(label, charge)
        for label, charge in (("Rattled", 0), ("Dimer", 1), ("Bond_Distortion_-40.0%", -1))
    ),
    borrowed_label(borrowed_label("Dimer", 0), -1),
    borrowed_label(borrowed_label("Bond_Distortion_-40.0%", -1), 0),
    borrowed_label(pair_label(-0.6, ((29, "Te"), (31, "Se"))), -2),
    *(folder_name(borrowed_label(label, -1)) for label in ("Unperturbed", "Unperturbed_scouted", "my start_2")),
]


def test_names_of_shakenbreak() -> None:
    assert bond_distortion_label(-0.6) == "Bond_Distortion_-60.0%"
    assert bond_distortion_label(0.0) == "Bond_Distortion_0.0%"
    assert pair_label(-0.6, ((29, "Te"), (31, "Te"))) == "Bond_Distortion_-60.0%_from_Te29-Te31"


@settings(deadline=None)  # the first example imports ShakeNBreak
@given(st.integers(-999, 1500).map(lambda value: value / 1000))
def test_labels_agree_with_shakenbreak(distortion: float) -> None:
    analysis = pytest.importorskip("shakenbreak.analysis")
    label = bond_distortion_label(distortion)
    assert label == analysis._get_distortion_filename(distortion)
    assert energy_key(label) == analysis._format_distortion_names(label)


def test_borrowed_structures_are_named_as_shakenbreak_names_them() -> None:
    module = pytest.importorskip("shakenbreak.energy_lowering_distortions")
    for distortion, charge in ((-0.4, -1), (0.3, 2), ("Dimer", 0), ("Rattled", -2)):
        label = bond_distortion_label(distortion) if isinstance(distortion, float) else distortion
        theirs = module._format_distortion_directory_name(distortion, charge, "v_Cd_0", ".")
        assert theirs == f"./v_Cd_0/{borrowed_label(label, charge)}"


@pytest.mark.parametrize("label", BORROWED)
def test_shakenbreak_reads_where_a_structure_was_borrowed(label: str) -> None:
    plotting = pytest.importorskip("shakenbreak.plotting")
    assert "Unperturbed" not in label  # snb-parse takes any folder with that in its name for the zero
    key = energy_key(label)
    assert isinstance(key, str)
    charge = key.split("_from_")[-1]
    assert int(charge) in range(-2, 2)  # as its regenerate reads it
    assert plotting._parse_other_charge_state_label(key) == f"From {charge} charge state"


@pytest.mark.parametrize("label", [*KNOWN, *BORROWED])
def test_shakenbreak_finds_the_folder_of_every_energy(label: str) -> None:
    analysis = pytest.importorskip("shakenbreak.analysis")
    key = energy_key(label)
    assert key == analysis._format_distortion_names(label)
    assert analysis._get_distortion_filename(key) == label


@pytest.mark.parametrize("label", ["mine", "Bond_Distortion_-60.0%_Te29-Te31", "Dimer_2", "Rattled_from_x", "é"])
def test_own_names_become_names_that_shakenbreak_knows(label: str) -> None:
    assert energy_key(label) is None
    assert energy_key(folder_name(label)) is not None
    assert folder_name(folder_name(label)) == folder_name(label)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("-50.0%", "Bond_Distortion_-50.0%"),
        ("-0.0%", "Bond_Distortion_0.0%"),
        ("Bond_Distortion_30.0%_High_Energy", "Bond_Distortion_30.0%"),
        ("Bond_Distortion_-60.0%_from_Te29-Te31", "Bond_Distortion_-60.0%_from_Te29-Te31"),
        ("Rattled", "Rattled"),
        ("mine", "mine"),
    ],
)
def test_folders_of_other_versions(name: str, label: str) -> None:
    assert label_of_folder(name) == label
