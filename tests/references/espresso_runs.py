"""Small calculations with Quantum ESPRESSO, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy.special import erf

from defectscout.references.espresso import EspressoReference, find_command
from defectscout.references.espresso_settings import PRESETS, EspressoSettings

needs_espresso = pytest.mark.skipif(
    shutil.which("pw.x") is None, reason="Quantum ESPRESSO is not installed: apt install quantum-espresso"
)

CORE_RADIUS, STRENGTH = 0.5, 2.0
"""Bohr and hartree, of a soft potential for hydrogen: V(r) = -erf(r / (√2 a)) / r - c exp(-(r / a)² / 2)."""


def soft_hydrogen(path: Path) -> Path:
    """A pseudopotential with one electron in version 2 of the UPF format.

    Its only projector is a weak one: without any, pw.x 6.7 crashes when it relaxes a cell.
    """
    radii = np.geomspace(1e-4, 30.0, 601)
    gaussian = np.exp(-((radii / CORE_RADIUS) ** 2) / 2)
    potential = -erf(radii / (np.sqrt(2) * CORE_RADIUS)) / radii + STRENGTH * gaussian
    density = 4 * np.pi * radii**2 * np.exp(-2 * radii) / np.pi
    step = np.log(radii[1] / radii[0])
    header = (
        '<PP_HEADER generated="for tests" author="none" date="none" comment="none" element="H" pseudo_type="NC" '
        'relativistic="no" is_ultrasoft="F" is_paw="F" is_coulomb="F" has_so="F" has_wfc="F" has_gipaw="F" '
        'paw_as_gipaw="F" core_correction="F" functional="PBE" z_valence="1.0" total_psenergy="0.0" wfc_cutoff="0.0" '
        'rho_cutoff="0.0" l_max="0" l_max_rho="0" l_local="0" mesh_size="601" number_of_wfc="0" number_of_proj="1"/>'
    )
    text = "\n".join(
        [
            '<UPF version="2.0.1">',
            "<PP_INFO>made for tests</PP_INFO>",
            header,
            f'<PP_MESH dx="{step}" mesh="601" xmin="{np.log(radii[0])}" rmax="30.0" zmesh="1.0">',
            _array("PP_R", radii),
            _array("PP_RAB", radii * step),
            "</PP_MESH>",
            _array("PP_LOCAL", 2 * potential),  # Ry
            "<PP_NONLOCAL>",
            _array("PP_BETA.1", radii * gaussian, 'index="1" angular_momentum="0" cutoff_radius_index="600" '),
            _array("PP_DIJ", np.array([0.1])),
            "</PP_NONLOCAL>",
            "<PP_PSWFC>",
            "</PP_PSWFC>",
            _array("PP_RHOATOM", density),
            "</UPF>",
            "",
        ]
    )
    path.write_text(text)
    return path


def _array(name: str, values: Sequence[float], attributes: str = "") -> str:
    rows = [" ".join(f"{value:.12E}" for value in values[at : at + 4]) for at in range(0, len(values), 4)]
    return "\n".join([f'<{name} {attributes}type="real" size="{len(values)}" columns="4">', *rows, f"</{name}>"])


def hydrogen() -> Atoms:
    """A molecule in a skewed cell, stretched."""
    cell = [[4.0, 0.0, 0.0], [0.2, 4.1, 0.0], [0.0, 0.1, 4.2]]
    return Atoms("HH", positions=[[0.1, 0.0, 0.0], [0.1, 0.2, 0.85]], cell=cell, pbc=True)


def settings_with(folder: Path, **changes: object) -> EspressoSettings:
    """The quick preset with the potential in a folder, and something changed."""
    return PRESETS["quick"][1].model_copy(update={"pseudopotentials": str(folder), "conv_thr": 1e-10, **changes})


def reference(folder: Path, **changes: object) -> EspressoReference:
    settings = settings_with(folder, **changes)
    return EspressoReference("espresso:test", settings, find_command(settings))


def run(folder: Path) -> None:
    """What a job script does."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (folder / "espresso.out").open("w") as file:
        subprocess.run(["pw.x", "-in", "espresso.pwi"], cwd=folder, env=environment, stdout=file, check=False)
