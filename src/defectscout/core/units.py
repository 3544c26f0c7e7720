"""Units. Inside: eV, Å, eV/Å, eV/Å³. GPa only in what a person reads."""

from __future__ import annotations

from typing import Final

EV_PER_A3_IN_GPA: Final = 160.21766208
"""1 eV/Å³ in GPa (CODATA 2014, as in ASE's default units)."""
