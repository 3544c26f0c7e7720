"""Calculators that a user brings: `ase:module:callable`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from defectscout.core.errors import UnknownMethodError
from defectscout.core.installed import distributions_of_packages


@dataclass(frozen=True, slots=True)
class CalculatorFactory:
    """A user's callable that makes an ASE calculator.

    Attributes:
        make: the callable.
        module: what it was found in.
        file: the Python file that it was loaded from; None for an importable module.
    """

    make: Callable[..., Any]
    module: ModuleType
    file: Path | None

    @property
    def provenance(self) -> str:
        """Where it comes from: a file's name and SHA-256, or distribution and version."""
        if self.file is not None:
            return f"{self.file.name} sha256:{hashlib.sha256(self.file.read_bytes()).hexdigest()}"
        return distribution_of(self.module.__name__)


def load_factory(name: str, role: str) -> CalculatorFactory:
    """The callable that `ase:module:callable` names.

    Args:
        name: `module` is importable or the path of a Python file.
        role: surrogate or reference, for the error message.

    Raises:
        UnknownMethodError: if the name has another form, or module or callable do not exist.
    """
    module_name, _, attribute = name.partition(":")[2].rpartition(":")
    if not module_name or not attribute:
        raise UnknownMethodError(
            f"'{name}' does not name an ASE calculator. Write ase:module:callable, such as "
            "ase:mypackage.engine:make_calculator or ase:./engine.py:make_calculator, where the callable returns an "
            "ASE calculator."
        )
    file = Path(module_name).expanduser() if module_name.endswith(".py") else None
    unusable = f"The {role} '{name}' cannot be used"
    module = _import(module_name, unusable) if file is None else _import_file(file, role, unusable)
    make: Any = module
    for part in attribute.split("."):
        make = getattr(make, part, None)
    if not callable(make):
        raise UnknownMethodError(f"{unusable}: '{module_name}' has no callable '{attribute}'.")
    return CalculatorFactory(make, module, file)


def distribution_of(module_name: str) -> str:
    """Distribution and version that a module comes from; its name where there is none."""
    distributions = distributions_of_packages().get(module_name.partition(".")[0], ())
    return f"{distributions[0]} {version(distributions[0])}" if distributions else module_name


def _import(module_name: str, unusable: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        raise UnknownMethodError(
            f"{unusable}: importing '{module_name}' failed with {type(error).__name__}: {error}. Check the name, and "
            "that it is installed in this environment; for a file of your own write its path, such as "
            "ase:./engine.py:make_calculator."
        ) from error


def _import_file(path: Path, role: str, unusable: str) -> ModuleType:
    module_name = f"defectscout_user_{role}_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise UnknownMethodError(f"{unusable}: there is no file '{path}'.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise UnknownMethodError(
            f"{unusable}: running '{path}' failed with {type(error).__name__}: {error}."
        ) from error
    return module
