"""A fine-tuned surrogate, from the folder that training wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from defectscout.core.errors import ModelFileError
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.ensemble import EnsembleSurrogate
from defectscout.surrogates.model_folder import Manifest, member_path
from defectscout.surrogates.settings import SurrogateSettings

LoadAdapter = Callable[[str, SurrogateSettings], Any]


def load_folder(folder: Path, manifest: Manifest, settings: SurrogateSettings, load: LoadAdapter) -> Surrogate:
    """The surrogate in a model folder; the mean of its members if it is an ensemble.

    Args:
        folder: where the weights lie.
        manifest: what is known of them.
        settings: device and batch size.
        load: loads a surrogate by the name of its adapter, such as `m3gnet:PATH`.

    Raises:
        ModelFileError: if the folder is damaged, or its weights are not those that were trained.
        MissingExtraError: if the family's package is not installed.
    """
    if not manifest.members:
        raise ModelFileError(f"The model folder '{folder}' names no weights. Train again.")
    members = [load(f"{manifest.family}:{member_path(folder, member)}", settings) for member in manifest.members]
    first = members[0].info
    weights = "+".join(member.sha256 for member in manifest.members)
    seen = manifest.trained_on
    info = replace(
        first,
        name=settings.name,
        weights=weights,
        # From scratch it knows nothing but its training frames; a base knows more, which tuning leaves in it.
        elements=first.elements if manifest.base else frozenset(seen.elements),
        tuned=bool(seen.charges),  # without a charge state there was no defect
        trained_on=seen,
    )
    if len(members) == 1:
        single: Surrogate = replace(members[0], info=info)
        return single
    return EnsembleSurrogate(info, tuple(members))
