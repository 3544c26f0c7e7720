"""From a crystal and what is substituted in it to the ground states of its defects in every supercell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.defect import Host
from defectscout.core.errors import AlloyError, CampaignError, DefectscoutError, NothingFoundError, SettingsError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.hosts.read import is_doped_json
from defectscout.workflow.alloys.check import check_study, settled_study
from defectscout.workflow.alloys.lattices import end_members, given_end_members, settled_lattice, write_supercell
from defectscout.workflow.alloys.members import Member, make_members
from defectscout.workflow.alloys.settings import AlloySettings, parsed_substitutions
from defectscout.workflow.alloys.study import (
    MANIFEST_NAME,
    StudiedSupercell,
    Study,
    is_study,
    read_study,
    studied,
    write_study,
)
from defectscout.workflow.campaign import source_of
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import check_answered, search
from defectscout.workflow.settings import SearchSettings, changed
from defectscout.workflow.stages.host import read_host


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of one supercell.

    Attributes:
        supercell: which one.
        result: the answer; None if its search failed.
        error: why it failed; None if it did not.
    """

    supercell: StudiedSupercell
    result: SearchResult | None
    error: DefectscoutError | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AlloyResult:
    """What came of a study.

    Attributes:
        folder: of the study.
        study: what was asked.
        outcomes: of its supercells, in their order.
    """

    folder: Path
    study: Study
    outcomes: tuple[Outcome, ...]


def search_alloy(
    host: str | Path,
    output: str | Path,
    alloy: AlloySettings,
    settings: SearchSettings | None = None,
    progress: Progress | None = None,
) -> AlloyResult:
    """Search the defects of every supercell of an alloy; go on where an earlier run stopped.

    Each supercell is a campaign in a folder of its own, which `defectscout resume`, `inputs`, `collect` and all that
    looks at campaigns take as any other one. A search that fails does not stop the others.

    Args:
        host: the parent crystal, as `search` takes it.
        output: folder of the study; compositions and realisations may be added to one that is there.
        alloy: supercells and sites.
        settings: of each search; see `search`.
        progress: told where the work stands.

    Raises:
        DefectscoutError: of the kind that tells what was wrong with the input; nothing has been written then.
    """
    progress = progress or SilentProgress()
    folder, alloy = Path(output), with_lasting_files(alloy)
    settings = settled_study(settings or SearchSettings(), source_of(str(host)), folder, progress)
    parent, members = prepare_alloy(host, alloy, settings, progress)
    study = study_of(host, alloy, settings, members)
    check_folder(folder, study)
    check_study(members, settings, progress)
    folder.mkdir(parents=True, exist_ok=True)
    write_study(folder, study)
    ends = end_members(folder, parent, members, alloy, settings, progress)
    outcomes: list[Outcome] = []
    for number, (member, supercell) in enumerate(zip(members, study.supercells, strict=True), start=1):
        progress.message(f"Supercell {number} of {len(members)}: {member.name} ({supercell.composition}).")
        own = member_settings(member, alloy, settings)
        try:
            file = write_supercell(folder, member, ends, alloy, settings, progress)
            result = search(file, folder / member.name, own, progress=progress)
        except DefectscoutError as error:
            progress.warn(f"{member.name}: {error}")
            outcomes.append(Outcome(supercell, None, error))
        else:
            outcomes.append(Outcome(supercell, result))
    return AlloyResult(folder, study, tuple(outcomes))


def check_outcomes(result: AlloyResult) -> None:
    """Check that every defect of every supercell has an answer.

    Raises:
        NothingFoundError: some have none.
    """
    failed = []
    for outcome in result.outcomes:
        try:
            if outcome.error is not None:
                raise outcome.error
            if outcome.result is not None:
                check_answered(outcome.result)
        except DefectscoutError as error:
            failed.append(f"{outcome.supercell.name}: {error}")
    if failed:
        raise NothingFoundError(
            f"{len(failed)} of {len(result.outcomes)} supercells are without the answer of all their defects. The same "
            f"command goes on with them. {' '.join(failed)}"
        )


def study_of(host: str | Path, alloy: AlloySettings, settings: SearchSettings, members: Sequence[Member]) -> Study:
    """What the manifest says of a study.

    Args:
        host: the parent crystal, as given.
        alloy: settings of the alloy.
        settings: settled ones of the searches.
        members: supercells with their sites.
    """
    return Study(source_of(str(host)), alloy, settings, tuple(studied(member) for member in members))


def prepare_alloy(
    host: str | Path, alloy: AlloySettings, settings: SearchSettings, progress: Progress
) -> tuple[Host, tuple[Member, ...]]:
    """The parent crystal and the supercells with their sites; nothing is calculated or written.

    Raises:
        DefectscoutError: what is wrong with the input.
    """
    if is_doped_json(str(host)):
        raise AlloyError(
            f"{host} holds defects that were made elsewhere, and an alloy makes its own in each supercell. Give the "
            "crystal that is alloyed, as a CIF, POSCAR or any structure file."
        )
    _check_settings(settings)
    settled_lattice(alloy, settings)
    parent = read_host(str(host), settings)
    members = make_members(parent, alloy, settings.defects, progress)
    given_end_members(parent, members, alloy)
    return parent, members


def _check_settings(settings: SearchSettings) -> None:
    """What a study decides for each supercell itself must have been left alone."""
    if settings.supercell.as_given:
        raise SettingsError(
            "The setting supercell.as_given does not go with an alloy, whose supercells are made of the host's "
            "primitive cell. Give the crystal that is alloyed, and the size that its supercells shall have with "
            "--min-image-distance or the setting supercell.matrix."
        )
    for name, is_set in (("keep", settings.host.keep), ("fixed_cell", settings.host.fixed_cell)):
        if is_set:
            raise SettingsError(
                f"The setting host.{name} does not go with an alloy: nobody has relaxed its supercells yet. --lattice "
                "vegard keeps their lattices at Vegard's law, and relaxes positions only."
            )


def with_lasting_files(alloy: AlloySettings) -> AlloySettings:
    """The settings with absolute paths, which are found from any working directory."""
    return alloy.model_copy(update={"end_members": tuple(path.expanduser().absolute() for path in alloy.end_members)})


def member_settings(member: Member, alloy: AlloySettings, settings: SearchSettings) -> SearchSettings:
    """The settings of the search in one supercell."""
    fixed = settled_lattice(alloy, settings) != "reference"
    return settings.model_copy(
        update={
            "host": settings.host.model_copy(update={"fixed_cell": fixed}),
            "supercell": settings.supercell.model_copy(update={"as_given": True, "matrix": None}),
            "defects": member.settings,
        }
    )


def check_folder(folder: Path, study: Study) -> None:
    """Check that a study can be begun in a folder, or gone on with: what it has must be part of what is asked for.

    Raises:
        CampaignError: it cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise CampaignError(f"{folder} is a file. Choose another output folder with -o.")
    if not is_study(folder):
        if folder.is_dir() and any(folder.iterdir()):
            raise CampaignError(
                f"The folder {folder} is not empty and holds no study of an alloy (no {MANIFEST_NAME}). Nothing was "
                "written; choose another output folder with -o, or empty this one."
            )
        return
    known = read_study(folder)
    if known.source.sha256 != study.source.sha256:
        raise CampaignError(
            f"The folder {folder} holds a study of another host ({known.source.name}); this one is "
            f"{study.source.name}. Nothing was changed; choose another output folder with -o."
        )
    differences = [*_changed_alloy(known.alloy, study.alloy), *changed(known.search, study.search)]
    if differences:
        raise CampaignError(
            f"The study in {folder} was started with other settings: {', '.join(differences)}. Nothing was changed. "
            "Run with the old settings to go on with it (compositions and realisations may be added), or choose "
            "another output folder with -o."
        )
    asked = {item.name: item for item in study.supercells}
    if missing := [item.name for item in known.supercells if item.name not in asked]:
        raise CampaignError(
            f"The study in {folder} has supercells that are not asked for now: {', '.join(missing)}. Nothing was "
            "changed. Ask for theirs, too (compositions and realisations may be added), or choose another output "
            "folder with -o."
        )
    if other := [item.name for item in known.supercells if not _is_same(item, asked[item.name])]:
        raise CampaignError(
            f"The supercells {', '.join(other)} of the study in {folder} have other sites than the same settings give "
            "now: other versions of defectscout or of its packages have made them. Nothing was changed. Go on with "
            "their campaigns one by one (defectscout resume), or start in another output folder with -o."
        )


def _changed_alloy(old: AlloySettings, new: AlloySettings) -> list[str]:
    before, after = old.model_dump(), new.model_dump()
    # Supercells may be added; a text may be written differently, as long as it means the same.
    free = {"x", "realisations", "exact"}
    if parsed_substitutions(old) == parsed_substitutions(new):
        free.add("substitute")
    return [f"alloy.{name}" for name in after if before[name] != after[name] and name not in free]


def _is_same(known: StudiedSupercell, asked: StudiedSupercell) -> bool:
    """Whether a supercell has the same sites and defects; its composition may have been asked for in other words."""
    return (known.formula, known.realisation, known.sites) == (asked.formula, asked.realisation, asked.sites)
