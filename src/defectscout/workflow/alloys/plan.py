"""What a study of an alloy would do, and roughly how long it would take; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from defectscout.core.progress import Progress
from defectscout.workflow.alloys.check import check_study, settled_study
from defectscout.workflow.alloys.run import check_folder, prepare_alloy, study_of, with_lasting_files
from defectscout.workflow.alloys.settings import AlloySettings
from defectscout.workflow.alloys.study import StudiedSupercell
from defectscout.workflow.campaign import source_of
from defectscout.workflow.plan import Plan, measure, plan_of
from defectscout.workflow.settings import SearchSettings


@dataclass(frozen=True, slots=True)
class SupercellPlan:
    """What would be done in one supercell.

    Attributes:
        supercell: which one, and its sites.
        plan: of its search.
    """

    supercell: StudiedSupercell
    plan: Plan


@dataclass(frozen=True, slots=True)
class AlloyPlan:
    """What a study would do.

    Attributes:
        parent: formula of the parent crystal.
        atoms: of a supercell.
        supercells: in their order.
    """

    parent: str
    atoms: int
    supercells: tuple[SupercellPlan, ...]

    @property
    def sites(self) -> int:
        """Sites that would be searched, in all."""
        return sum(len(item.supercell.sites) for item in self.supercells)

    @property
    def sampling(self) -> int:
        """Sampling structures, in all."""
        return sum(defect.sampling for item in self.supercells for defect in item.plan.defects)

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Expected wall time, typical and bound, s, without the end members; None without a measured reference."""
        times = [item.plan.seconds for item in self.supercells]
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            return None
        return sum(typical for typical, _ in known), sum(most for _, most in known)


def plan_alloy(
    host: str, output: str | Path, alloy: AlloySettings, settings: SearchSettings, progress: Progress
) -> AlloyPlan:
    """Work out what `search_alloy` would do, timing one force call of each method.

    Raises:
        DefectscoutError: whatever `search_alloy` would raise before its first relaxation.
    """
    alloy = with_lasting_files(alloy)
    settings = settled_study(settings, source_of(host), Path(output), progress)
    parent, members = prepare_alloy(host, alloy, settings, progress)
    study = study_of(host, alloy, settings, members)
    check_folder(Path(output), study)
    surrogate = check_study(members, settings, progress)
    timings = measure(surrogate, members[0].defects, settings, progress)
    relaxes = settings.reference.name != "none"
    return AlloyPlan(
        parent=parent.formula,
        atoms=len(parent.supercell),
        supercells=tuple(
            SupercellPlan(supercell, plan_of(member.host, member.defects, settings, timings, relaxes))
            for member, supercell in zip(members, study.supercells, strict=True)
        ),
    )
