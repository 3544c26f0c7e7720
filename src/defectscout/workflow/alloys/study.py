"""A study of an alloy: its folder, and what stands in its manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from defectscout import __version__
from defectscout.core.errors import CampaignError
from defectscout.core.files import write_atomically
from defectscout.hosts.substitution import Occupation
from defectscout.workflow.alloys.members import Member, atom_of
from defectscout.workflow.alloys.settings import AlloySettings
from defectscout.workflow.campaign import Source
from defectscout.workflow.settings import SearchSettings

MANIFEST_NAME: Final = "alloy.json"
SUPERCELLS_FOLDER: Final = "supercells"
END_MEMBERS_FOLDER: Final = "end-members"
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class SearchedSite:
    """An atom of a supercell at which defects are searched.

    Attributes:
        atom: its index, from 0.
        element: that stands on it.
        name: behind the defects' names.
        environment: of its neighbours, such as `Te3Se`.
        sites: sites of the supercell that it stands for.
        share: of all sites of the element in the supercell that have this environment, 0 to 1.
        defects: labels of the defects that are searched at it.
    """

    atom: int
    element: str
    name: str
    environment: str
    sites: int
    share: float
    defects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StudiedSupercell:
    """One supercell of the study, which is searched as a campaign of its own.

    Attributes:
        name: of its folder.
        formula: of the supercell, such as `Cd27Te22Se5`.
        occupations: of the mixed sublattices.
        realisation: number among those of its composition, from 1.
        sites: where defects are searched.
    """

    name: str
    formula: str
    occupations: tuple[Occupation, ...]
    realisation: int
    sites: tuple[SearchedSite, ...]

    @property
    def composition(self) -> str:
        """Shares of the elements on the mixed sublattices, such as `Te 0.815, Se 0.185`."""
        return "; ".join(
            ", ".join(f"{symbol} {share:.3f}" for symbol, share in item.fractions) for item in self.occupations
        )

    @property
    def x(self) -> float:
        """Share of the first element that is substituted for the host's own."""
        return self.occupations[0].fractions[1][1]

    def site_of(self, label: str) -> SearchedSite | None:
        """The site of a defect, by its label."""
        return next((site for site in self.sites if label in site.defects), None)


@dataclass(frozen=True, slots=True)
class Study:
    """What a study was asked to do.

    Attributes:
        source: the parent crystal.
        alloy: settings of the alloy.
        search: settings of the searches, but for what differs between supercells.
        supercells: in the order of the compositions.
    """

    source: Source
    alloy: AlloySettings
    search: SearchSettings
    supercells: tuple[StudiedSupercell, ...]


@dataclass(frozen=True, slots=True)
class _Manifest:
    schema: int
    version: str
    study: Study


_MANIFEST = TypeAdapter(_Manifest)


def studied(member: Member) -> StudiedSupercell:
    """What the manifest says of a supercell."""
    by_atom: dict[int, list[str]] = {}
    for defect in member.defects:
        by_atom.setdefault(atom_of(defect), []).append(defect.label)
    sites = []
    for site in member.sites:
        environment = next(item for item in member.environments if site.atom in item.sites)
        sites.append(
            SearchedSite(
                atom=site.atom,
                element=environment.element,
                name=site.name,
                environment=environment.name,
                sites=site.count,
                share=environment.share,
                defects=tuple(by_atom[site.atom]),
            )
        )
    return StudiedSupercell(
        name=member.name,
        formula=member.alloy.structure.composition.formula.replace(" ", ""),
        occupations=member.alloy.occupations,
        realisation=member.alloy.realisation,
        sites=tuple(sites),
    )


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study."""
    return (folder / MANIFEST_NAME).is_file()


def write_study(folder: Path, study: Study) -> None:
    """Write the manifest."""
    manifest = _Manifest(SCHEMA, __version__, study)
    write_atomically(folder / MANIFEST_NAME, _MANIFEST.dump_json(manifest, indent=1).decode() + "\n")


def read_study(folder: Path) -> Study:
    """Read the manifest of a study.

    Raises:
        CampaignError: there is none in the folder, it is damaged, or another version has written it.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise CampaignError(
            f"{folder} holds no study of an alloy (no {MANIFEST_NAME}). Start one with: defectscout alloy HOST "
            f"--substitute Te:Se --x 0.5 -o {folder}"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("schema") != SCHEMA:
            raise CampaignError(
                f"{path} was written in format {content.get('schema')} by defectscout {content.get('version')}; this "
                f"one reads format {SCHEMA}. Use the version that wrote it, or start in another folder."
            )
        return _MANIFEST.validate_python(content).study
    except (OSError, ValueError, AttributeError) as error:
        detail = f"{error.error_count()} entries do not fit" if isinstance(error, ValidationError) else str(error)
        raise CampaignError(
            f"{path} cannot be read: {detail}. Restore it from a copy, or start the study in another folder: the "
            "campaigns beside it can be looked at one by one."
        ) from None


def campaign_folders(folder: Path, supercells: Sequence[StudiedSupercell]) -> tuple[Path, ...]:
    """Folders of the supercells' campaigns that have been begun."""
    from defectscout.workflow.campaign import RECORD_NAME

    paths = (folder / item.name for item in supercells)
    return tuple(path for path in paths if (path / RECORD_NAME).is_file())
