"""CHGNet's weights: in the wheel and in files."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase import Atoms

from defectscout.core.errors import ModelFileError
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings


def _load(name: str):
    return load_surrogate(SurrogateSettings(name=name, device="cpu"))


@pytest.fixture
def own_file(tmp_path: Path, load_cached) -> Path:
    """Weights as CHGNet's trainer saves them, a little changed."""
    import torch

    model = load_cached("chgnet").evaluate.model
    record = model.as_dict()
    state = {key: value.clone() for key, value in record["state_dict"].items()}
    state["composition_model.fc.weight"] += 0.25
    path = tmp_path / "own.pth.tar"
    torch.save({"model": {"state_dict": state, "model_args": record["model_args"]}}, path)
    return path


def test_info(load_cached) -> None:
    info = load_cached("chgnet").info
    assert info.package.startswith("chgnet 0.")
    assert info.weights == "0.3.0"
    assert info.citation == "10.1038/s42256-023-00716-3"
    assert not info.tuned
    assert info.elements is not None
    assert len(info.elements) == 89  # as many as the Materials Project trajectories have
    assert {"H", "Cd", "Te", "Yb", "Pu"} <= info.elements
    assert not {"Po", "At", "Rn", "Fr", "Ra", "Am"} & info.elements


def test_untrained_elements_have_initial_embeddings(load_cached) -> None:
    """Standard normal numbers have norm 8 in 64 dimensions; training has moved all the others."""
    from ase.data import atomic_numbers, chemical_symbols

    surrogate = load_cached("chgnet")
    norms = surrogate.evaluate.model.atom_embedding.embedding.weight.norm(dim=1)
    untrained = {chemical_symbols[row + 1] for row, norm in enumerate(norms) if norm < 10}
    assert untrained == {"Po", "At", "Rn", "Fr", "Ra"}
    assert not {atomic_numbers[symbol] for symbol in untrained} & {
        atomic_numbers[symbol] for symbol in surrogate.info.elements
    }


def test_other_shipped_weights(rattled: Atoms, load_cached) -> None:
    newer, older = load_cached("chgnet"), load_cached("chgnet:0.2.0")
    assert older.info.weights == "0.2.0"
    assert abs(newer.predict([rattled])[0].energy - older.predict([rattled])[0].energy) > 1e-3
    assert "Yb" not in load_cached("chgnet:r2scan").info.elements


def test_own_file(own_file: Path, rattled: Atoms, load_cached) -> None:
    own = _load(f"chgnet:{own_file}")
    shift = own.predict([rattled])[0].energy - load_cached("chgnet").predict([rattled])[0].energy
    assert shift == pytest.approx(0.25 * len(rattled), abs=1e-4)  # 0.25 eV for each atom
    assert own.info.weights.startswith("sha256:")
    assert not own.info.tuned


def test_file_that_states_its_tuning(own_file: Path) -> None:
    import torch

    torch.save(torch.load(own_file) | {"defectscout": {"tuned": True}}, own_file)
    assert _load(f"chgnet:{own_file}").info.tuned


def test_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no model")
    with pytest.raises(ModelFileError, match=r"notes\.txt' is not a model"):
        _load(f"chgnet:{path}")
    with pytest.raises(ModelFileError, match="is a folder"):
        _load(f"chgnet:{tmp_path}")


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    import torch

    path, trace = tmp_path / "evil.pth", tmp_path / "trace"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (trace,))

    torch.save({"model": Evil()}, path)
    with pytest.raises(ModelFileError, match="is not a model"):
        _load(f"chgnet:{path}")
    assert not trace.exists()
