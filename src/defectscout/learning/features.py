"""What DIRECT tells frames apart by: SOAP, or what a surrogate sees just before it reads out energies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from defectscout.core.chunks import chunks
from defectscout.core.errors import SettingsError
from defectscout.learning.frames import LabelledFrame
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.batched import BatchedSurrogate

Floats = NDArray[np.float32]

SOAP_CUTOFF: Final = 5.0
"""Å, as of the fingerprints of defect sites (paper, section IV A)."""
SOAP_SIGMA: Final = 0.5
"""Å; wider Gaussians blur the distortions that frames of one relaxation differ by."""
SOAP_BASIS: Final = (4, 4)
"""n_max and l_max: 80 features for each element."""

READOUTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "chgnet": lambda model: model.mlp,
    "matgl": lambda potential: potential.model.final_layer,
}
"""The torch module that turns features of atoms into energies, by package; its input is shape (n_atoms, n_features)."""

_AT_ONCE: Final = 64


def soap_features(frames: Iterable[LabelledFrame], count: int, elements: Sequence[str]) -> Floats:
    """SOAP power spectrum of each frame, averaged over its atoms, shape (count, n_features).

    Neighbours' elements are kept apart from the sum over all elements only (dscribe's `mu1nu1`), so that the
    number of features grows with the number of elements, not with its square.

    Args:
        frames: exactly `count` frames; streamed.
        count: how many there are.
        elements: symbols of all frames.
    """
    from dscribe.descriptors import SOAP

    n_max, l_max = SOAP_BASIS
    soap = SOAP(
        species=sorted(elements),
        r_cut=SOAP_CUTOFF,
        n_max=n_max,
        l_max=l_max,
        sigma=SOAP_SIGMA,
        periodic=True,
        average="outer",
        compression={"mode": "mu1nu1"},
        dtype="float32",
    )
    features = np.empty((count, soap.get_number_of_features()), dtype=np.float32)
    for i, frame in enumerate(frames):
        atoms = frame.atoms.copy()
        atoms.wrap()  # dscribe lays periodic images around the cell, so atoms must be inside it
        features[i] = soap.create(atoms)
    return features


def surrogate_features(frames: Iterable[LabelledFrame], count: int, surrogate: Surrogate) -> Floats:
    """Features of the atoms just before a surrogate's readout, averaged over each frame, shape (count, n_features).

    Args:
        frames: exactly `count` frames; streamed.
        count: how many there are.
        surrogate: CHGNet, M3GNet or TensorNet.

    Raises:
        SettingsError: if the surrogate does not give features.
        CalculationError: if it cannot evaluate a frame.
        UnsupportedElementError: for an element that it was not trained on.
    """
    module = _readout(surrogate)
    features = np.empty((0, 0), dtype=np.float32)
    done = 0
    for batch in chunks(map(_structure, frames), _AT_ONCE):
        with _inputs_of(module) as seen:
            surrogate.predict(batch)
        per_atom = np.concatenate(seen)
        ends = np.cumsum([len(atoms) for atoms in batch])
        means = [part.mean(axis=0) for part in np.split(per_atom, ends[:-1])]
        if not features.size:
            features = np.empty((count, per_atom.shape[1]), dtype=np.float32)
        features[done : done + len(batch)] = means
        done += len(batch)
    return features


def _structure(frame: LabelledFrame) -> Atoms:
    atoms = frame.atoms.copy()
    atoms.info["charge"] = frame.origin.charge
    return atoms


def _readout(surrogate: Surrogate) -> Any:
    find = READOUTS.get(surrogate.info.package.split()[0])
    if find is not None and isinstance(surrogate, BatchedSurrogate):
        return find(surrogate.evaluate.model)  # type: ignore[attr-defined]
    raise SettingsError(
        f"The surrogate '{surrogate.info.name}' gives no features for DIRECT. Use chgnet, m3gnet or "
        "tensornet, or direct_features = soap."
    )


@contextmanager
def _inputs_of(module: Any) -> Iterator[list[Floats]]:
    seen: list[Floats] = []

    def keep(_: Any, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0].detach().cpu().numpy().astype(np.float32))

    handle = module.register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
