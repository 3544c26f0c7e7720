"""What every trainable model has to fulfil, for the tests of each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.stress import full_3x3_to_voigt_6_stress

from defectscout.core.frames import Prediction
from defectscout.surrogates.neighbourhood import neighbourhoods

SHEAR: Final = np.array([[1.02, 0.03, 0], [0, 0.99, 0.02], [0.01, 0, 1.03]])


def example_structures() -> list[Atoms]:
    """A sheared zincblende crystal with a vacancy, and a small rock-salt cell."""
    vacancy = bulk("CdTe", "zincblende", a=6.5) * (2, 2, 1)
    del vacancy[0]
    vacancy.set_cell(vacancy.cell.array @ SHEAR, True)
    vacancy.rattle(0.1, seed=3)
    salt = bulk("NaCl", "rocksalt", a=5.6)
    salt.rattle(0.1, seed=1)
    return [vacancy, salt]


def outputs(trainable: Any, structures: Sequence[Atoms], charges: Sequence[int] | None = None) -> Any:
    items = neighbourhoods(structures, trainable.cutoff, "test")
    graphs = [trainable.graph(item, charge) for item, charge in zip(items, charges or [0] * len(items), strict=True)]
    return trainable.outputs(trainable.collate(graphs))


def reference_energy(trainable: Any, atoms: Atoms) -> float:
    return sum(trainable.references[symbol] for symbol in atoms.get_chemical_symbols())


def check_parity(trainable: Any, surrogate: Any, *, energy: float, force: float, stress: float) -> None:
    """The trainable gives, with its references, what the surrogate gives, structure by structure in one batch."""
    structures = example_structures()
    found = outputs(trainable, structures)
    expected = surrogate.predict(structures)
    energies = found.energies.detach().numpy() + [reference_energy(trainable, atoms) for atoms in structures]
    np.testing.assert_allclose(energies, [item.energy for item in expected], atol=energy)
    forces = np.concatenate([item.forces for item in expected])
    assert np.abs(forces).max() > 0.05
    np.testing.assert_allclose(found.forces.detach().numpy(), forces, atol=force)
    voigt = [full_3x3_to_voigt_6_stress(one) for one in found.stresses.detach().numpy()]
    np.testing.assert_allclose(voigt, np.stack([item.stress for item in expected]), atol=stress)
    np.testing.assert_array_equal(found.stresses.detach(), found.stresses.detach().transpose(1, 2))


def check_finite_differences(trainable: Any, *, step: float, force: float, stress: float) -> None:
    """Forces are -dE/dx and stresses dE/de / V of the trainable's own energies."""
    atoms = example_structures()[0]
    found = outputs(trainable, [atoms])

    def moved(sign: int, index: int, direction: int) -> Atoms:
        other = atoms.copy()
        other.positions[index, direction] += sign * step
        return other

    def strained(sign: int, i: int, j: int) -> Atoms:
        other = atoms.copy()
        strain = np.eye(3)
        strain[i, j] += sign * step / 2
        strain[j, i] += sign * step / 2
        other.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        return other

    for index, direction in ((0, 0), (3, 2)):
        pair = outputs(trainable, [moved(+1, index, direction), moved(-1, index, direction)]).energies.detach().numpy()
        slope = (pair[0] - pair[1]) / (2 * step)
        np.testing.assert_allclose(found.forces[index, direction].item(), -slope, atol=force)
    for i, j in ((0, 0), (1, 2)):
        pair = outputs(trainable, [strained(+1, i, j), strained(-1, i, j)]).energies.detach().numpy()
        slope = (pair[0] - pair[1]) / (2 * step * atoms.get_volume())
        np.testing.assert_allclose(found.stresses[0, i, j].item(), slope, atol=stress)


def check_loss_reaches_parameters(trainable: Any) -> None:
    """A loss of forces and stresses alone has a gradient that steepest descent can go down by."""
    import torch

    trainable.module.train()
    trainable.module.zero_grad()
    structures = example_structures()

    def loss() -> Any:
        found = outputs(trainable, structures)
        wanted = 0.1 * torch.sin(torch.arange(found.forces.numel()).view_as(found.forces) ** 2)
        return (found.forces - wanted).square().mean() + found.stresses.square().mean()

    before = loss()
    before.backward()
    reached = [weights for weights in trainable.module.parameters() if weights.grad is not None]
    squares = sum(float(weights.grad.square().sum()) for weights in reached)
    assert squares > 0
    every = sum(weights.numel() for weights in trainable.module.parameters())
    touched = sum(int((weights.grad != 0).sum()) for weights in reached)
    assert touched > 0.3 * every  # rows of absent elements get nothing
    # A step that should lower the loss by a thousandth: by how much it falls must agree with the gradient.
    rate = 0.001 * float(before) / squares
    with torch.no_grad():
        for weights in reached:
            weights -= rate * weights.grad
    after = loss()
    assert 0.5 < (float(before) - float(after)) / (0.001 * float(before)) < 1.5


def check_last_layers(trainable: Any) -> None:
    """The last layers are some of the parameters, the last two more of them, and a forward pass needs all of these."""
    every = {id(weights) for weights in trainable.module.parameters()}
    last = {id(weights) for weights in trainable.last_layers(1)}
    last2 = {id(weights) for weights in trainable.last_layers(2)}
    assert last
    assert last < last2 < every


def check_no_chance_in_training(trainable: Any) -> None:
    """Training mode changes nothing in what the model says: there is no dropout and no batch normalisation."""
    structures = example_structures()
    trainable.module.eval()
    calm = outputs(trainable, structures)
    trainable.module.train()
    busy = outputs(trainable, structures)
    np.testing.assert_allclose(calm.energies, busy.energies.detach(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(calm.forces, busy.forces.detach(), rtol=1e-5, atol=1e-5)
    assert busy.energies.requires_grad
    assert busy.forces.requires_grad


def check_saved(trainable: Any, folder: Path, load_surrogate_at: Any, *, energy: float, force: float) -> None:
    """Saved with other references and read again, twice the same bits, close to what the trainable says."""
    structures = example_structures()
    references = {"Cd": -100.25, "Te": -50.5}
    before = outputs(trainable, structures)
    path = trainable.save(folder, references, tuned=True)
    assert path == folder or path.parent == folder
    first, second = load_surrogate_at(path), load_surrogate_at(path)
    assert first.info.tuned
    once, again = first.predict(structures), second.predict(structures)
    for one, two in zip(once, again, strict=True):
        assert one.energy == two.energy
        np.testing.assert_array_equal(one.forces, two.forces)
        np.testing.assert_array_equal(one.stress, two.stress)
    values = {**trainable.references, **references}
    for index, atoms in enumerate(structures):
        expected = before.energies[index].item() + sum(values[symbol] for symbol in atoms.get_chemical_symbols())
        np.testing.assert_allclose(once[index].energy, expected, atol=energy)
    forces = np.concatenate([item.forces for item in once])
    np.testing.assert_allclose(forces, before.forces.detach().numpy(), atol=force)
    # Saving leaves the trainable as it was.
    np.testing.assert_array_equal(outputs(trainable, structures).energies.detach(), before.energies.detach())


def same_weights(one: Any, other: Any) -> bool:
    pairs = zip(one.module.state_dict().values(), other.module.state_dict().values(), strict=True)
    return all(bool((left == right).all()) for left, right in pairs)


def salt_and_telluride() -> list[Atoms]:
    """A rattled rock-salt crystal and a sheared zincblende one, where forces are large."""
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    salt.rattle(0.15, seed=1)
    telluride = bulk("CdTe", "zincblende", a=6.4)
    shear = np.array([[0.02, 0.03, 0], [0, -0.01, 0.02], [0.01, 0, 0.03]])
    telluride.set_cell(telluride.cell.array @ (np.eye(3) + shear), True)
    telluride.rattle(0.2, seed=2)
    return [salt, telluride]


def batch_of(model: Any, structures: Sequence[Atoms]) -> Any:
    return model.collate([model.graph(item, 0) for item in neighbourhoods(structures, model.cutoff, "test")])


def assert_agree(model: Any, references: Mapping[str, float], predictions: Sequence[Prediction]) -> None:
    """With its references the model says of `salt_and_telluride` what was predicted of them."""
    structures = salt_and_telluride()
    model.module.eval()
    said = model.outputs(batch_of(model, structures))
    expected = [sum(references[symbol] for symbol in atoms.symbols) for atoms in structures]
    energies = said.energies.detach().numpy().astype(float) + expected
    np.testing.assert_allclose(energies, [p.energy for p in predictions], rtol=5e-6, atol=2e-5)
    np.testing.assert_allclose(said.forces.detach(), np.concatenate([p.forces for p in predictions]), atol=2e-5)
    stresses = said.stresses.detach().numpy()
    np.testing.assert_array_equal(stresses, stresses.swapaxes(1, 2))
    voigt = [full_3x3_to_voigt_6_stress(one) for one in stresses]
    np.testing.assert_allclose(voigt, np.stack([p.stress for p in predictions]), atol=1e-6)


def slopes(model: Any, atoms: Atoms, direction: np.ndarray, strain: np.ndarray, step: float) -> tuple[float, float]:
    """Derivatives of the model's energy along a displacement and along a strain, from four points each, eV."""
    found = []
    for moves, strains in ((direction, np.zeros((3, 3))), (np.zeros_like(direction), strain)):
        series = []
        for x in (-2, -1, 1, 2):
            series.append(atoms.copy())
            series[-1].set_cell(atoms.cell.array @ (np.eye(3) + x * step * strains), scale_atoms=True)
            series[-1].positions += x * step * moves
        e = model.outputs(batch_of(model, series)).energies.detach().numpy().astype(float)
        found.append(float((e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * step)))
    return found[0], found[1]
