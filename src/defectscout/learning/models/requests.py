"""What cannot be asked of a model, said before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from defectscout.core.errors import SettingsError, UnsupportedElementError
from defectscout.learning.settings import ArchitectureSettings


def check_no_charge(architecture: ArchitectureSettings, model: str) -> None:
    """Raise SettingsError if the charge state is asked for as an input of a network that has none."""
    if architecture.charge_as_input:
        raise SettingsError(
            f"The setting architecture.charge_as_input = true cannot be met: {model} takes no charge. "
            "Train one model for each charge state, or take M3GNet."
        )


def check_only_family(name: str, family: str) -> None:
    """Raise SettingsError if a network is to be made from scratch and `name` names weights."""
    if name.lower() != family:
        raise SettingsError(
            f"The settings base = '{name}' and train = 'scratch' contradict each other: a model from scratch takes no "
            f"weights. Set base = '{family}', or another value of train."
        )


def check_elements_known(symbols: Iterable[str], elements: Sequence[str], model: str) -> None:
    """Raise UnsupportedElementError if there are reference energies of elements that a network cannot take."""
    unknown = sorted(set(symbols) - set(elements))
    if unknown:
        raise UnsupportedElementError(
            f"Reference energies of {', '.join(unknown)} cannot be stored: this {model} model was not made for these "
            "elements. Leave them out, or take another model."
        )
