"""The comparisons of the paper's supplement, as changes of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Changes = Mapping[str, Any]

PAPER_TABLES: Final[Mapping[str, Mapping[str, Changes]]] = {
    "S2": {
        # Isolated atoms need their energies: give them as [common.isolated_atoms].
        "bulk": {"train": {"element_references": "bulk"}},
        "isolated atoms": {"train": {"element_references": "isolated"}},
        "defects": {"train": {"element_references": "all"}, "bulk": False},
    },
    "S3": {
        "MS, 10 frames": {"frames": {"method": "MS"}, "bulk": False},
        "DIRECT 0.02, 4000, 20": {"frames": {"method": "DIRECT"}, "bulk": False},
        "DIRECT 0.1, 1000, 20": {
            "frames": {"method": "DIRECT", "direct_threshold": 0.1, "direct_clusters": 1000},
            "bulk": False,
        },
        "DIRECT 0.03, 2000, 20": {
            "frames": {"method": "DIRECT", "direct_threshold": 0.03, "direct_clusters": 2000},
            "bulk": False,
        },
    },
    "S4": {
        "M3GNet": {"train": {"base": "m3gnet", "train": "scratch"}},
        "CHGNet": {
            "train": {"base": "chgnet", "train": "scratch", "architecture": {"cutoff": 6.0, "three_body_cutoff": 3.0}}
        },
        "MACE": {"train": {"base": "mace", "train": "scratch", "batch_size": 20, "learning_rate": 0.01}},
    },
    "S5": {
        "exponential, 5e-4": {"train": {"schedule": "exponential", "learning_rate": 5e-4}},
        "cosine, 1e-3": {"train": {"schedule": "cosine", "learning_rate": 1e-3}},
        "constant, 5e-4": {"train": {"schedule": "constant", "learning_rate": 5e-4}},
        "constant, 1e-3": {"train": {"schedule": "constant", "learning_rate": 1e-3}},
        "exponential, 1e-3": {"train": {"schedule": "exponential", "learning_rate": 1e-3}},
        "constant, 1e-4": {"train": {"schedule": "constant", "learning_rate": 1e-4}},
        "time, 1e-3": {"train": {"schedule": "time", "learning_rate": 1e-3}},
        "constant, 1e-5": {"train": {"schedule": "constant", "learning_rate": 1e-5}},
    },
    "S6": {
        f"three-body cutoff {cutoff} Å": {
            "train": {"base": "m3gnet", "train": "scratch", "architecture": {"three_body_cutoff": cutoff}}
        }
        for cutoff in (4.0, 3.0)
    },
    "S7": {
        f"cutoff {cutoff} Å": {"train": {"base": "m3gnet", "train": "scratch", "architecture": {"cutoff": cutoff}}}
        for cutoff in (5.0, 4.5, 5.5, 6.0)
    },
    "S8": {
        name: {"train": {"base": "m3gnet", "train": "scratch", "architecture": {"readout": readout}}}
        for name, readout in (("weighted atom", "weighted_atom"), ("reduce", "reduce"), ("set2set", "set2set"))
    },
    "S9": {
        "all layers": {"train": {"train": "all"}},
        "last layer": {"train": {"train": "last"}},
        "last two layers": {"train": {"train": "last2"}},
        "from scratch": {"train": {"base": "m3gnet", "train": "scratch"}},
    },
    "S10": {
        "defects and bulk": {"bulk": True},
        "defects only": {"bulk": False},
    },
}
"""Table, then name of the training, to what it changes: `train`, `frames` and `bulk` of `ablation.AblationRun`."""
