"""Features of frames: they know what physics cannot tell apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from conftest import model
from defectscout.core.errors import SettingsError
from defectscout.learning.features import soap_features, surrogate_features
from defectscout.learning.frames import LabelledFrame
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from learning.toy_relaxations import CRYSTAL, frame, origin


def _equivalents() -> list[LabelledFrame]:
    """A frame, the same with atoms in other cells, renumbered and turned; and another frame."""
    one = frame(origin(), seed=3)
    shifted = one.atoms.copy()
    shifted.positions += CRYSTAL.cell[0] * np.arange(8)[:, None] - 1.234
    renumbered = one.atoms[::-1]
    turned = one.atoms.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    structures: list[Atoms] = [one.atoms, shifted, renumbered, turned]
    return [*(replace(one, atoms=atoms) for atoms in structures), frame(origin(), seed=4)]


def test_soap_is_invariant() -> None:
    features = soap_features(_equivalents(), 5, ["Cd", "Te"])
    assert features.dtype == np.float32
    scale = np.abs(features[0] - features[4]).max()
    assert np.abs(features[1:4] - features[0]).max() < 1e-3 * scale


def test_chgnet_features_are_invariant_and_one_for_each_frame() -> None:
    pytest.importorskip("chgnet")
    surrogate = load_surrogate(SurrogateSettings(name="chgnet", device="cpu"))
    features = surrogate_features(_equivalents(), 5, surrogate)
    assert features.shape == (5, 64)
    scale = np.abs(features[0] - features[4]).max()
    assert scale > 1e-3
    assert np.abs(features[1:4] - features[0]).max() < 1e-2 * scale


def test_a_surrogate_without_features_says_which_have_them() -> None:
    surrogate = load_surrogate(SurrogateSettings(name=model("surrogate")))
    with pytest.raises(SettingsError, match="chgnet"):
        surrogate_features([frame(origin())], 1, surrogate)
