"""SevenNet's weights: in the wheel and in checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.errors import ModelFileError
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.surrogates.sevennet import load

pytest.importorskip("sevenn")

CPU = SurrogateSettings(device="cpu")


@pytest.fixture(scope="module")
def shipped_file() -> Path:
    from sevenn._const import SEVENNET_0_11Jul2024

    return Path(SEVENNET_0_11Jul2024)


@pytest.mark.parametrize(("name", "weights"), [("7net-0", "SevenNet_0__11Jul2024"), ("7net-l3i5", "SevenNet_l3i5")])
def test_weights_are_in_the_wheel(monkeypatch: pytest.MonkeyPatch, name: str, weights: str) -> None:
    import sevenn.util

    def no_download(*args: object) -> str:
        raise AssertionError("a download was tried")

    monkeypatch.setattr(sevenn.util, "download_checkpoint", no_download)
    info = load(name, CPU).info
    assert info.weights == weights
    assert info.package.startswith("sevenn 0.")
    assert info.elements is not None
    assert len(info.elements) == 89
    assert not info.tuned


def test_checkpoint_file(shipped_file: Path, rattled: Atoms, load_cached) -> None:
    own = load(f"7net:{shipped_file}", CPU)
    np.testing.assert_array_equal(own.predict([rattled])[0].forces, load_cached("7net-0").predict([rattled])[0].forces)
    assert own.info.weights.startswith("sha256:")


def test_checkpoint_that_states_its_tuning(tmp_path: Path, shipped_file: Path) -> None:
    import torch

    record = torch.load(shipped_file, map_location="cpu", weights_only=False)
    torch.save(record | {"defectscout": {"tuned": True}}, tmp_path / "tuned.pth")
    assert load(f"7net:{tmp_path / 'tuned.pth'}", CPU).info.tuned


def test_several_fidelities() -> None:
    from sevenn._const import SEVENNET_MF_0

    with pytest.raises(ModelFileError, match="several fidelities"):
        load(f"7net:{SEVENNET_MF_0}", CPU)


def test_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no model")
    with pytest.raises(ModelFileError, match=r"notes\.txt' is not a model"):
        load(f"7net:{path}", CPU)
