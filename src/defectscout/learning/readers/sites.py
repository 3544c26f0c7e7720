"""Where the sites of defects lie, from ShakeNBreak's and doped's files."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from defectscout.core.defect import DefectKind
from defectscout.core.errors import DefectscoutError
from defectscout.learning.frames import DefectId, SiteRecord, Unreadable
from defectscout.learning.readers.files import READING_ERRORS, open_text
from defectscout.learning.readers.names import change_of

_ERRORS: tuple[type[Exception], ...] = (DefectscoutError, KeyError, TypeError, AttributeError, *READING_ERRORS)


def sites_of(paths: Sequence[Path], seen: Mapping[DefectId, Path]) -> Iterator[SiteRecord | Unreadable]:
    """Sites of the defects of which frames were read, each once.

    A file speaks for what lies in its folder and below it; the innermost one is asked first.

    Args:
        paths: ShakeNBreak's `distortion_metadata.json`, or doped's JSON of defects.
        seen: the defects, and a file with frames of each.
    """
    left = {identity: source for identity, source in seen.items() if not identity.is_bulk}
    for path in sorted(paths, key=lambda path: -len(path.parts)):
        below = [identity for identity, source in left.items() if source.is_relative_to(path.parent)]
        if not below:
            continue
        try:
            content = _content(path)
            records = _by_shakenbreak(content, below) if _is_shakenbreak(content) else _by_doped(path, below)
        except _ERRORS as error:
            yield Unreadable(str(path), f"The sites of defects were not read: {error}.")
            continue
        for record in records:
            del left[record.defect_id]
            yield record


def _content(path: Path) -> Any:
    with open_text(path) as file:
        return json.load(file)


def _is_shakenbreak(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("defects"), dict) and "@module" not in content


def _by_shakenbreak(content: dict[str, Any], left: Collection[DefectId]) -> list[SiteRecord]:
    records = []
    for identity in sorted(left, key=str):
        entry = content["defects"].get(identity.defect)
        if entry is None or entry.get("unique_site") is None:
            continue
        charges = entry.get("charges")
        if isinstance(charges, dict) and charges and str(identity.charge) not in {key.lstrip("+") for key in charges}:
            continue
        change = change_of(identity.defect, ())
        kind = change.kind if change is not None else _kind_by_index(entry)
        x, y, z = (float(value) for value in entry["unique_site"])
        records.append(SiteRecord(identity, kind.value, (x, y, z)))
    return records


def _kind_by_index(entry: dict[str, Any]) -> DefectKind:
    """ShakeNBreak gives antisites and interstitials the index of their atom, vacancies none."""
    return DefectKind.VACANCY if entry.get("defect_site_index") is None else DefectKind.SUBSTITUTION


def _by_doped(path: Path, left: Collection[DefectId]) -> list[SiteRecord]:
    from defectscout.defects.from_json import read_defects

    host, defects = read_defects(str(path))
    records = []
    for defect in defects:
        x, y, z = (float(value) for value in defect.site)
        records += [
            SiteRecord(identity, defect.kind.value, (x, y, z))
            for identity in sorted(left, key=str)
            if (identity.host, identity.defect, identity.charge) == (host.formula, defect.name, defect.charge)
        ]
    return records
