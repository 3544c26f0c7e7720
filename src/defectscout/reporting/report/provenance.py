"""What a report says of how its campaigns were set up: settings and versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from defectscout.reporting.report.alloys import Alloy
from defectscout.reporting.report.names import method_name
from defectscout.reporting.report.subject import Subject
from defectscout.reporting.table import Column, Table
from defectscout.reporting.wording import count, listed
from defectscout.workflow.alloys.settings import AlloySettings
from defectscout.workflow.overview import Overview
from defectscout.workflow.settings import write_toml


def settings_of(subject: Subject, names: Sequence[str], alloys: Sequence[Alloy]) -> Iterator[tuple[str, str]]:
    """Settings as TOML, of each campaign; of a study those that its supercells share.

    Args:
        subject: what is reported on.
        names: of the campaigns.
        alloys: studies that could be analysed, which gives them their titles.
    """
    for name, overview in zip(names, subject.campaigns, strict=False):
        yield name, write_toml(overview.settings)
    titles = {alloy.overview.folder: alloy.found.title for alloy in alloys}
    for study in subject.studies:
        text = f"{write_toml(study.study.search)}\n{_alloy_toml(study.study.alloy)}"
        yield f"{titles.get(study.folder, 'the alloy')} ({study.folder.resolve().name})", text


def _alloy_toml(settings: AlloySettings) -> str:
    values = settings.model_dump(mode="json")
    lines = [
        f"# {field.description}\n" + (f"# {name} =" if values[name] is None else f"{name} = {json.dumps(values[name])}")
        for name, field in type(settings).model_fields.items()
    ]
    return "\n".join(["[alloy]", *lines]) + "\n"


def versions(overviews: Sequence[Overview], names: Sequence[str]) -> Table:
    """One column for all campaigns that agree, as far as they know theirs yet."""
    groups: list[tuple[dict[str, str], list[str]]] = []
    for overview, name in zip(overviews, names, strict=True):
        own = _provenance(overview)
        for known, members in groups:
            if all(known.get(key, value) == value for key, value in own.items()):
                known.update(own)
                members.append(name)
                break
        else:
            groups.append((own, [name]))
    rows = dict.fromkeys(key for known, _ in groups for key in known)
    headings = [
        "version" if len(groups) == 1 else listed(members) if len(members) <= 3 else f"{len(members)} campaigns"
        for _, members in groups
    ]
    return Table(
        "versions",
        f"Versions that {count(len(overviews), 'campaign').replace('1 campaign', 'the campaign')} began with",
        (Column("package", "package"), *(Column(name, f"version_{number}") for number, name in enumerate(headings))),
        tuple((row, *(known.get(row) for known, _ in groups)) for row in rows),
    )


def _provenance(overview: Overview) -> dict[str, str]:
    found = dict(overview.packages)
    if overview.surrogate is not None:
        found["surrogate"] = f"{method_name(overview.surrogate.name)} ({overview.surrogate.package})"
        found["surrogate weights"] = overview.surrogate.weights
    if overview.reference is not None:
        found["reference"] = f"{method_name(overview.reference.name)} ({overview.reference.package})"
    return found
