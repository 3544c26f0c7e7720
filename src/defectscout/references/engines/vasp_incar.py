"""Reading and changing single tags of an INCAR, all else left as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_COMMENT = re.compile(r"[#!].*")
_TAG = re.compile(r"\s*([A-Za-z]\w*)\s*=\s*(.*?)\s*", re.DOTALL)


def incar_tags(text: str) -> dict[str, str]:
    """Tags in capitals with their values as written, comments left out; the first one counts, as for VASP."""
    tags: dict[str, str] = {}
    for name, value in _pairs(text):
        tags.setdefault(name, value)
    return tags


def incar_number(tags: Mapping[str, str], name: str, default: float) -> float:
    """A tag's value as a number; `default`, VASP's own, where it is not set or no number."""
    try:
        return float(tags[name].split()[0].replace("d", "e").replace("D", "e"))
    except (KeyError, ValueError, IndexError):
        return default


def incar_flag(tags: Mapping[str, str], name: str) -> bool:
    """A logical tag's value; False where it is not set."""
    return tags.get(name, "F").strip(". ").upper().startswith("T")


def with_tags(text: str, changes: Mapping[str, str]) -> str:
    """The INCAR with these tags set: in their place where they stand, else at the end.

    A line with several tags (`IBRION = 2; POTIM = 0.5`) keeps the others. Comments stay, but for those behind a
    value that changes, which may no longer be true.
    """
    left = dict(changes)
    lines = []
    for line in text.splitlines():
        comment = _COMMENT.search(line)
        body = line[: comment.start()] if comment else line
        parts = body.split(";")
        names = [_name(part) for part in parts]
        if not any(name in changes for name in names):
            lines.append(line)
            continue
        # A second setting of a tag would be ignored by VASP and mislead a reader: it goes.
        new = [
            f"{name} = {left.pop(name)}" if name in left else part.strip()
            for name, part in zip(names, parts, strict=True)
            if name in left or name not in changes
        ]
        if new:
            lines.append("; ".join(new))
    lines += [f"{name} = {value}" for name, value in left.items()]
    return "\n".join(lines) + "\n"


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        for part in _COMMENT.sub("", line).split(";"):
            match = _TAG.fullmatch(part)
            if match is not None:
                yield match[1].upper(), match[2]


def _name(part: str) -> str:
    match = _TAG.fullmatch(part)
    return match[1].upper() if match is not None else ""
