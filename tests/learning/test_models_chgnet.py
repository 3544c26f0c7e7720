"""Training of CHGNet: derivatives, parity with the surrogate adapter, files, fresh weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from defectscout.core.errors import SettingsError, UnsupportedElementError
from defectscout.learning.models.chgnet import load
from defectscout.learning.settings import ArchitectureSettings, TrainSettings
from defectscout.surrogates.chgnet import load as load_adapter
from defectscout.surrogates.settings import SurrogateSettings
from trainable_checks import (
    check_finite_differences,
    check_last_layers,
    check_loss_reaches_parameters,
    check_no_chance_in_training,
    check_parity,
    check_saved,
    example_structures,
    outputs,
    same_weights,
)

CPU = SurrogateSettings(device="cpu")


@pytest.fixture
def trainable() -> Any:
    return load("chgnet", TrainSettings())


def _scratch(seed: int = 0, **architecture: Any) -> Any:
    chosen = ArchitectureSettings(**{"three_body_cutoff": 3.0, **architecture})
    return load("chgnet", TrainSettings(train="scratch", seed=seed, architecture=chosen))


def test_what_it_says_of_itself(trainable: Any) -> None:
    assert trainable.family == "chgnet"
    assert len(trainable.elements) == 89
    assert trainable.cutoff == 6.0
    assert trainable.references["H"] == pytest.approx(-3.4431)  # of CHGNet's composition model, eV


@pytest.mark.parametrize("name", ["chgnet", "chgnet:0.2.0", "chgnet:r2scan"])
def test_parity_with_the_surrogate(name: str) -> None:
    # The surrogate makes edges in single precision from fractional coordinates, the trainable in double.
    check_parity(load(name, TrainSettings()), load_adapter(name, CPU), energy=1e-4, force=5e-4, stress=2e-6)


def test_finite_differences(trainable: Any) -> None:
    check_finite_differences(trainable, step=5e-3, force=1e-2, stress=2e-4)


def test_losses_of_forces_reach_the_weights(trainable: Any) -> None:
    check_loss_reaches_parameters(trainable)


def test_last_layers(trainable: Any) -> None:
    check_last_layers(trainable)


def test_nothing_is_dropped_out(trainable: Any) -> None:
    check_no_chance_in_training(trainable)


def test_saved_and_read_again(trainable: Any, tmp_path: Path) -> None:
    check_saved(trainable, tmp_path, lambda path: load_adapter(f"chgnet:{path}", CPU), energy=2e-4, force=5e-4)
    again = load(f"chgnet:{tmp_path / 'chgnet.pth.tar'}", TrainSettings())
    assert again.references == {**trainable.references, "Cd": -100.25, "Te": -50.5}
    assert same_weights(again, trainable)


def test_from_scratch(tmp_path: Path) -> None:
    trainable = _scratch(cutoff=5.0)
    assert trainable.cutoff == 5.0
    assert set(trainable.references.values()) == {0.0}
    check_loss_reaches_parameters(trainable)
    check_saved(trainable, tmp_path, lambda path: load_adapter(f"chgnet:{path}", CPU), energy=2e-4, force=5e-4)


def test_seeds_of_fresh_weights() -> None:
    assert same_weights(_scratch(seed=3), _scratch(seed=3))
    assert not same_weights(_scratch(seed=3), _scratch(seed=4))


def test_structures_do_not_see_each_other(trainable: Any) -> None:
    structures = example_structures()
    together = outputs(trainable, structures).energies.detach()
    for index, atoms in enumerate(structures):
        assert outputs(trainable, [atoms]).energies.item() == pytest.approx(together[index].item(), abs=1e-4)


def test_architectures_that_there_are_not() -> None:
    with pytest.raises(SettingsError, match="CHGNet takes no charge"):
        _scratch(charge_as_input=True)
    with pytest.raises(SettingsError, match="a readout of its own"):
        _scratch(readout="set2set")
    with pytest.raises(SettingsError, match="contradict each other"):
        load("chgnet:0.2.0", TrainSettings(train="scratch"))


def test_references_of_elements_that_it_lacks(trainable: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedElementError, match="Po"):
        trainable.save(tmp_path, {"Po": -1.0}, tuned=True)
