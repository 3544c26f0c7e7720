"""Models and structures for the tests of the surrogates; nothing is downloaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from defectscout.surrogates.batched import BatchedSurrogate
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings

Load = Callable[[str], BatchedSurrogate]


@cache
def _load(name: str) -> BatchedSurrogate:
    surrogate = load_surrogate(SurrogateSettings(name=name, device="cpu"))
    assert isinstance(surrogate, BatchedSurrogate)
    return surrogate


WEIGHTS = {"m3gnet": 2.0, "tensornet": 1.7}
"""Factors for the initial weights of the small models, so that their forces come near to 1 eV/Å."""


def _tiny_potential(family: str, is_intensive: bool = False):
    """A small network with random weights that names elements and cutoffs as large ones do."""
    matgl_models = pytest.importorskip("matgl.models")
    import torch
    from matgl.apps.pes import Potential

    torch.manual_seed(7)
    elements = ("Na", "Cl", "Cu", "Zn", "Cd", "Te")
    if family == "m3gnet":
        model = matgl_models.M3GNet(
            elements, dim_node_embedding=8, dim_edge_embedding=8, units=8, nblocks=2, is_intensive=is_intensive
        )
    else:
        model = matgl_models.TensorNet(elements, units=8, nblocks=1, num_rbf=8, is_intensive=is_intensive)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(WEIGHTS[family])
    return Potential(model, element_refs=np.linspace(-3.0, -1.0, len(elements)), calc_stresses=True)


@pytest.fixture(scope="session")
def tiny_potential() -> Callable[..., object]:
    return _tiny_potential


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders with small models of matgl, one for each family."""
    root = tmp_path_factory.mktemp("matgl")

    @cache
    def folder(family: str) -> Path:
        _tiny_potential(family).save(root / family)
        return root / family

    return folder


@pytest.fixture(scope="session")
def load_cached(tiny_folder: Callable[[str], Path]) -> Load:
    """Loads a surrogate once; `m3gnet` and `tensornet` stand for the small models."""

    def load(name: str) -> BatchedSurrogate:
        if name in ("m3gnet", "tensornet"):
            name = f"{name}:{tiny_folder(name)}"
        elif name.startswith("7net"):
            pytest.importorskip("sevenn")
        return _load(name)

    return load


@pytest.fixture(
    scope="session",
    params=["chgnet", "7net-0", "m3gnet", "tensornet", pytest.param("7net-l3i5", marks=pytest.mark.slow)],
)
def surrogate(request: pytest.FixtureRequest, load_cached: Load) -> BatchedSurrogate:
    return load_cached(request.param)


@pytest.fixture(scope="session")
def together(surrogate: BatchedSurrogate) -> BatchedSurrogate:
    """The same surrogate, evaluating up to eight structures as one graph, as it does on a GPU."""
    return dataclasses.replace(surrogate, structures_at_once=8)


@pytest.fixture(scope="session")
def rattled() -> Atoms:
    """15 atoms: sheared zincblende with a vacancy and no symmetry, atoms outside of the cell."""
    atoms = bulk("CdTe", "zincblende", a=6.5) * (2, 2, 2)
    del atoms[0]
    shear = np.array([[0.02, 0.03, 0], [0, -0.01, 0.02], [0.01, 0, 0.03]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + shear), True)
    atoms.rattle(0.12, seed=3)
    atoms.positions += [4.0, -3.0, 11.0]
    return atoms


@pytest.fixture(scope="session")
def structures(rattled: Atoms) -> list[Atoms]:
    """Different sizes, cells and elements."""
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    salt.rattle(0.1, seed=1)
    return [bulk("CdTe", "zincblende", a=6.5), rattled, salt, bulk("Cu", "fcc", a=3.6)]
