"""CHGNet (DOI 10.1038/s42256-023-00716-3): `chgnet`, `chgnet:0.2.0`, `chgnet:r2scan`, `chgnet:FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from defectscout.core.frames import Prediction
from defectscout.core.quiet import quiet
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.batched import BatchedSurrogate
from defectscout.surrogates.device import structures_at_once, torch_device
from defectscout.surrogates.neighbourhood import Neighbourhood
from defectscout.surrogates.provenance import model_file, package, sha256, stated_tuned, unreadable
from defectscout.surrogates.settings import SurrogateSettings

if TYPE_CHECKING:
    from torch import Tensor

CITATION: Final = "10.1038/s42256-023-00716-3"

SHIPPED: Final = ("0.3.0", "0.2.0", "r2scan")
"""Weights inside CHGNet's wheel; the first is the default."""

UNTRAINED: Final = frozenset({"Po", "At", "Rn", "Fr", "Ra"})
"""Elements up to plutonium that the Materials Project trajectories lack: their rows of the
embedding have kept their initial values (norm 8, the square root of its 64 dimensions) in the weights 0.3.0,
and the atomic energies of the r2SCAN weights are zero for them."""

UNTRAINED_R2SCAN: Final = UNTRAINED | {"Yb"}


def load(name: str, settings: SurrogateSettings) -> BatchedSurrogate:
    """CHGNet, with weights from its wheel or from a file that CHGNet's trainer saved.

    A file is read as data alone: no code in it is run. It counts as fine-tuned if it
    holds `{"defectscout": {"tuned": True}}` beside CHGNet's own entries.

    Raises:
        ModelFileError: if the file is missing or is no CHGNet model.
        SettingsError: if the device is not there.
    """
    device = torch_device(settings)
    model, weights, tuned = read(name)
    model.to(device)
    model.eval()
    model.requires_grad_(False)
    info = SurrogateInfo(
        name=name,
        package=package("chgnet"),
        weights=weights,
        citation=CITATION,
        elements=trained_elements(model, weights),
        tuned=tuned,
    )
    converter = model.graph_converter
    return BatchedSurrogate(
        info,
        float(converter.atom_graph_cutoff),
        structures_at_once(settings, device),
        device,
        ChgnetEvaluate(model, device),
    )


def read(name: str) -> tuple[Any, str, bool]:
    """The model called `name`, on the CPU, the version or SHA-256 of its weights, and whether it was fine-tuned.

    Raises:
        ModelFileError: as `load`.
    """
    detail = name.partition(":")[2] or SHIPPED[0]
    if detail in SHIPPED:
        return _shipped(detail), detail, False
    file = model_file(detail, name)
    model, tuned = _from_file(file, name)
    return model, sha256([file]), tuned


def trained_elements(model: Any, weights: str) -> frozenset[str]:
    """Symbols that a model with these weights was trained on."""
    known = frozenset(chemical_symbols[1 : model.atom_embedding.embedding.num_embeddings + 1])
    return known - (UNTRAINED_R2SCAN if weights == "r2scan" else UNTRAINED)


def _shipped(version: str) -> Any:
    with quiet():
        from chgnet.model import CHGNet

        return CHGNet.load(model_name=version, use_device="cpu", verbose=False)


def _from_file(file: Path, name: str) -> tuple[Any, bool]:
    import torch

    with quiet():
        from chgnet.model import CHGNet

        try:
            record = torch.load(file, map_location="cpu", weights_only=True)
            model = CHGNet.from_dict(record["model"])
        except Exception as error:  # whatever a foreign file makes torch or CHGNet raise
            raise unreadable(name, file, error) from error
    return model, stated_tuned(record)


@dataclass(frozen=True, slots=True, eq=False)
class ChgnetEvaluate:
    """One batch of graphs through CHGNet."""

    model: Any
    device: str

    def __call__(self, batch: Sequence[Neighbourhood]) -> list[Prediction]:
        """Predictions of `batch`.

        CHGNet's own prediction goes backwards through the network twice, once for forces
        and once for stresses, and keeps what second derivatives need. Here energies alone
        are asked for and differentiated once, with respect to fractional coordinates s and
        lattice L (rows): with r = s L, forces are -(dE/ds) L^-T, and a strain e that takes
        L to L (1 + e) gives the stress L^T (dE/dL) / V. Half the time, the same numbers.
        """
        import torch

        graphs = [self._graph(item) for item in batch]
        per_atom = self.model([graph.to(self.device) for graph in graphs], task="e")["e"]
        leaves = [leaf for graph in graphs for leaf in (graph.atom_frac_coord, graph.lattice)]
        counts = torch.tensor([item.n_atoms for item in batch], dtype=per_atom.dtype, device=per_atom.device)
        total = per_atom * counts if self.model.is_intensive else per_atom
        gradients: tuple[Tensor, ...] = torch.autograd.grad(total.sum(), leaves)
        energies = total.detach().cpu().numpy().astype(float)
        return [
            _prediction(item, float(energies[i]), _float64(gradients[2 * i]), _float64(gradients[2 * i + 1]))
            for i, item in enumerate(batch)
        ]

    def _graph(self, item: Neighbourhood) -> Any:
        import torch

        graph = crystal_graph(self.model.graph_converter, item)
        graph.atom_frac_coord = torch.tensor(item.fractional, dtype=torch.float32, requires_grad=True)
        graph.lattice = torch.tensor(item.cell, dtype=torch.float32, requires_grad=True)
        return graph


def crystal_graph(converter: Any, item: Neighbourhood) -> Any:
    """CHGNet's graph of a structure, its edges in the order of the pairs of `item`."""
    import torch
    from chgnet.graph.crystalgraph import CrystalGraph

    graph = converter.create_graph(
        item.n_atoms, item.centres, item.neighbours, item.images.astype(np.int64), item.distances
    )
    atom_graph, directed2undirected = graph.adjacency_list()
    bond_graph, undirected2directed = graph.line_graph_adjacency_list(cutoff=converter.bond_graph_cutoff)
    return CrystalGraph(
        atomic_number=torch.tensor(item.numbers, dtype=torch.int32),
        atom_frac_coord=torch.tensor(item.fractional, dtype=torch.float32),
        atom_graph=torch.tensor(atom_graph, dtype=torch.int32),
        atom_graph_cutoff=converter.atom_graph_cutoff,
        neighbor_image=torch.tensor(item.images, dtype=torch.float32),
        directed2undirected=torch.tensor(directed2undirected, dtype=torch.int32),
        undirected2directed=torch.tensor(undirected2directed, dtype=torch.int32),
        bond_graph=torch.tensor(bond_graph, dtype=torch.int32),
        bond_graph_cutoff=converter.bond_graph_cutoff,
        lattice=torch.tensor(item.cell, dtype=torch.float32),
    )


def _float64(tensor: Tensor) -> Any:
    return tensor.cpu().numpy().astype(np.float64)


def _prediction(item: Neighbourhood, energy: float, by_fractional: Any, by_lattice: Any) -> Prediction:
    forces = -np.linalg.solve(item.cell, by_fractional.T).T
    stress = item.cell.T @ by_lattice / item.volume
    return Prediction(energy, forces, full_3x3_to_voigt_6_stress(stress))
