"""Every mistake in the input of a study is found before anything is written or spent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from defectscout.core.errors import SettingsError
from defectscout.core.progress import Progress
from defectscout.surrogates.base import Surrogate
from defectscout.workflow.alloys.members import Member
from defectscout.workflow.alloys.study import is_study, read_study
from defectscout.workflow.campaign import Source
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.settling import settled
from defectscout.workflow.stages.reference import electronic_states
from defectscout.workflow.stages.scout import load_checked_surrogate, warn_of_unfamiliar


def settled_study(settings: SearchSettings, source: Source, folder: Path, progress: Progress) -> SearchSettings:
    """The settings of all searches of a study, strategy and surrogate chosen; those of one in the folder stay.

    Raises:
        DefectscoutError: as `settling.settled`.
    """
    if settings.sampling.folder is not None:
        raise SettingsError(
            "An alloy's sites have sampling structures of their own, which one folder cannot give: leave --sampling "
            "FOLDER out, or search the supercells one by one with: defectscout search FILE --supercell-as-given"
        )
    if is_study(folder):
        known = read_study(folder).search
        if settings.strategy == "auto":
            settings = settings.model_copy(update={"strategy": known.strategy})
        if settings.surrogate.name == "nearest":
            settings = settings.model_copy(update={"surrogate": known.surrogate})
    return settled(settings, source, folder, True, progress)


def check_study(members: Sequence[Member], settings: SearchSettings, progress: Progress) -> Surrogate | None:
    """Check reference, surrogate and sampling structures of all supercells.

    Args:
        members: supercells with their defects.
        settings: settled ones.
        progress: told what the surrogate was not trained for.

    Returns:
        The surrogate, loaded; None where none is used.

    Raises:
        DefectscoutError: what the searches would have raised later on.
    """
    from defectscout.sampling.sample import sample

    defects = [defect for member in members for defect in member.defects]
    electronic_states(settings, defects)
    surrogate = load_checked_surrogate(settings, defects) if settings.strategy != "reference-only" else None
    if surrogate is not None:
        formula = members[0].alloy.structure.composition.reduced_formula
        warn_of_unfamiliar(surrogate.info, formula, defects, settings, progress)
    for defect in defects:
        sample(defect, settings.sampling)
    return surrogate
