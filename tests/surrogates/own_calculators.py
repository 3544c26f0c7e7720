"""The ASE calculator that each model's own package offers."""

from __future__ import annotations

import contextlib
import io

from defectscout.surrogates.batched import BatchedSurrogate


def own_calculator(surrogate: BatchedSurrogate):
    """The calculator of the package that the surrogate's model comes from."""
    family = surrogate.info.name.partition(":")[0]
    with contextlib.redirect_stdout(io.StringIO()):
        if family == "chgnet":
            from chgnet.model.dynamics import CHGNetCalculator

            return CHGNetCalculator(use_device="cpu")
        if family.startswith("7net"):
            from sevenn.calculator import SevenNetCalculator

            return SevenNetCalculator(family, device="cpu")
        from matgl.ext.ase import PESCalculator

        return PESCalculator(surrogate.evaluate.model, stress_unit="eV/A3", use_voigt=True)
