import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.sampling.labels import (
    bond_distortion_label,
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


@pytest.mark.parametrize("label", KNOWN)
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
