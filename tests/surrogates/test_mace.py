"""MACE, with a small network of random weights. Runs where mace-torch is installed, which excludes sevenn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.errors import ModelFileError, UnknownMethodError
from defectscout.surrogates.batched import BatchedSurrogate
from defectscout.surrogates.mace import load
from defectscout.surrogates.settings import SurrogateSettings

pytest.importorskip("mace")

CPU = SurrogateSettings(device="cpu")

# Relative to energies of a few eV: single and double precision.
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}

NUMBERS = [11, 17, 29, 48, 52]


def _save(path: Path, dtype: str, heads: tuple[str, ...] = ("Default",)) -> Path:
    import torch
    from e3nn import o3
    from mace import modules

    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    torch.manual_seed(3)
    model = modules.ScaleShiftMACE(
        r_max=5.0,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        num_interactions=2,
        num_elements=len(NUMBERS),
        hidden_irreps=o3.Irreps("8x0e + 8x1o"),
        MLP_irreps=o3.Irreps("4x0e"),
        atomic_energies=np.tile(np.linspace(-3.0, -1.0, len(NUMBERS)), (len(heads), 1)),
        avg_num_neighbors=10.0,
        atomic_numbers=NUMBERS,
        correlation=2,
        gate=torch.nn.functional.silu,
        radial_MLP=[8, 8],
        atomic_inter_scale=[20.0] * len(heads),
        atomic_inter_shift=[0.0] * len(heads),
        heads=list(heads),
    )
    torch.save(model, path)
    torch.set_default_dtype(before)
    return path


@pytest.fixture(scope="module", params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, dtype: str) -> Path:
    return _save(tmp_path_factory.mktemp("mace") / f"{dtype}.model", dtype)


@pytest.fixture(scope="module")
def mace(file: Path) -> BatchedSurrogate:
    return load(f"mace:{file}", CPU)


@pytest.mark.parametrize("at_once", [1, 8])
def test_mace_parity(mace: BatchedSurrogate, file: Path, dtype: str, structures: list[Atoms], at_once: int) -> None:
    import torch
    from mace.calculators import MACECalculator

    before = torch.get_default_dtype()
    calculator = MACECalculator(model_paths=str(file), device="cpu", default_dtype=dtype)
    torch.set_default_dtype(before)
    predictions = dataclasses.replace(mace, structures_at_once=at_once).predict(structures)
    assert max(prediction.fmax for prediction in predictions) > 0.05  # there is something to compare
    for atoms, prediction in zip(structures, predictions, strict=True):
        reference = atoms.copy()
        reference.calc = calculator
        tolerance = TOLERANCE[dtype]
        assert prediction.energy == pytest.approx(reference.get_potential_energy(), abs=tolerance * len(atoms))
        np.testing.assert_allclose(prediction.forces, reference.get_forces(), atol=tolerance)
        np.testing.assert_allclose(prediction.stress, reference.get_stress(), atol=tolerance)


def test_mace_derivatives(mace: BatchedSurrogate, dtype: str, rattled: Atoms) -> None:
    step = {"float32": 1e-2, "float64": 1e-3}[dtype]
    tolerance = {"float32": 5e-3, "float64": 1e-6}[dtype]
    prediction = mace.predict([rattled])[0]
    assert prediction.stress is not None
    direction = np.random.default_rng(0).normal(size=(len(rattled), 3))
    strain = np.array([[0.2, 0.1, 0.0], [0.1, -0.3, 0.2], [0.0, 0.2, 0.1]])
    moved, strained = [], []
    for x in (-2, -1, 1, 2):
        atoms = rattled.copy()
        atoms.positions += x * step * direction
        moved.append(atoms)
        atoms = rattled.copy()
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + x * step * strain), scale_atoms=True)
        strained.append(atoms)
    slopes = []
    for series in (moved, strained):
        e = [p.energy for p in mace.predict(series)]
        slopes.append((e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * step))
    xx, yy, zz, yz, xz, xy = prediction.stress
    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    assert slopes[0] == pytest.approx(-(prediction.forces * direction).sum(), rel=tolerance, abs=tolerance)
    assert slopes[1] == pytest.approx(rattled.cell.volume * (stress * strain).sum(), rel=tolerance, abs=tolerance)


def test_mace_info(mace: BatchedSurrogate) -> None:
    assert mace.info.package.startswith("mace-torch 0.")
    assert mace.info.weights.startswith("sha256:")
    assert mace.info.elements == {"Na", "Cl", "Cu", "Cd", "Te"}


def test_default_precision_is_left_alone(mace: BatchedSurrogate, rattled: Atoms) -> None:
    import torch

    before = torch.get_default_dtype()
    mace.predict([rattled])
    assert torch.get_default_dtype() == before


def test_mace_names(monkeypatch: pytest.MonkeyPatch, file: Path, recwarn: pytest.WarningsRecorder) -> None:
    from mace.calculators import foundations_models

    asked: list[str] = []

    def stand_in(model: str) -> str:
        asked.append(model)
        if "omat" in model:
            print("Using model under Academic Software License")
        return str(file)

    monkeypatch.setattr(foundations_models, "download_mace_mp_checkpoint", stand_in)
    assert load("mace:medium", CPU).info.citation == "10.48550/arXiv.2401.00096"
    load("mace", CPU)
    assert asked == ["medium", "medium-mpa-0"]
    with pytest.warns(UserWarning, match="Academic Software License"):
        load("mace:medium-omat-0", CPU)
    with pytest.raises(UnknownMethodError, match=r"Did you mean 'mace:medium'.*large"):
        load("mace:mediun", CPU)


def test_mace_download_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from mace.calculators import foundations_models

    def no_network(model: str) -> str:
        raise OSError("no network")

    monkeypatch.setattr(foundations_models, "download_mace_mp_checkpoint", no_network)
    with pytest.raises(ModelFileError, match=r"could not be fetched \(OSError: no network\)"):
        load("mace:medium", CPU)


def test_mace_files_that_are_no_model(tmp_path: Path) -> None:
    import torch

    with pytest.raises(ModelFileError, match="does not exist"):
        load("mace:./no_such.model", CPU)
    (tmp_path / "notes.model").write_text("no model")
    with pytest.raises(ModelFileError, match="is not a model"):
        load(f"mace:{tmp_path / 'notes.model'}", CPU)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "linear.model")
    with pytest.raises(ModelFileError, match="a Linear has no r_max"):
        load(f"mace:{tmp_path / 'linear.model'}", CPU)


def test_mace_heads(tmp_path: Path, rattled: Atoms) -> None:
    several = _save(tmp_path / "several.model", "float64", ("pbe", "r2scan"))
    with pytest.raises(ModelFileError, match=r"several heads \(pbe, r2scan\)"):
        load(f"mace:{several}", CPU)
    with_default = _save(tmp_path / "default.model", "float64", ("pbe", "Default"))
    assert np.isfinite(load(f"mace:{with_default}", CPU).predict([rattled])[0].energy)
