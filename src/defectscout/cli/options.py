"""Options that several commands share, and turning them into settings."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from defectscout.core.errors import SettingsError

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Campaign folder. Default: the host's name with '-defects'.",
        show_default=False,
    ),
]
HostArgument = Annotated[
    str,
    typer.Argument(
        metavar="HOST",
        help="CIF, POSCAR or any structure file, a Materials Project id, or a JSON file of doped's with defects in it.",
    ),
]
CampaignArgument = Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="Folder of a campaign.")]
DefectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--defect",
        "-d",
        help="Name or pattern: v_Cd, 'v_*', cation-vacancies, antisites, interstitials, all. May be repeated. "
        "Default: cation-vacancies.",
        show_default=False,
    ),
]
ChargeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--charge",
        help="Charge state, range or 'all' (doped's guesses): 0, -1, -2..0. May be repeated. Default: 0.",
        show_default=False,
    ),
]
ChargesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--charges",
        help="Charge states searched together, each trying the others' structures as well: -2..0. May be repeated. "
        "Instead of --charge.",
        show_default=False,
    ),
]
ExtrinsicOption = Annotated[
    list[str] | None,
    typer.Option("--extrinsic", help="Impurity element for substitutions and interstitials. May be repeated."),
]
KeepHost = Annotated[
    bool, typer.Option("--keep-host", help="Take cell and positions as read, without relaxing them first.")
]
AcceptUnstable = Annotated[
    bool,
    typer.Option("--accept-unstable-host", help="Go on with a host that is not stable on the reference's surface."),
]
AsGiven = Annotated[
    bool,
    typer.Option(
        "--supercell-as-given",
        help="The file holds the supercell itself, such as one of an alloy: nothing is reduced or repeated.",
    ),
]
ImageDistance = Annotated[
    float | None,
    typer.Option(
        "--min-image-distance",
        help="Least distance between periodic images, Å. Default: 10.",
        show_default=False,
    ),
]
Distortions = Annotated[
    str | None,
    typer.Option(
        "--distortions",
        help="Bond distortions, comma-separated: -0.6,-0.3,0.3. Default: ShakeNBreak's 13.",
        show_default=False,
    ),
]
Rattle = Annotated[
    float | None,
    typer.Option(
        "--rattle",
        help="Standard deviation of the rattle, Å. Default: 10 % of the bond length.",
        show_default=False,
    ),
]
Pairs = Annotated[
    bool,
    typer.Option(
        "--pairs",
        help="Distort every pair of the defect's neighbours in turn (31 structures for a fourfold site), in place of "
        "those nearest to it.",
    ),
]
SamplingOption = Annotated[
    str | None,
    typer.Option(
        "--sampling",
        metavar="none|FOLDER",
        help="Only the unperturbed structure, or your own structures.",
        show_default=False,
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the rattle. Default: 42.", show_default=False)]
SurrogateOption = Annotated[
    str | None,
    typer.Option(
        "--surrogate",
        "-s",
        help="chgnet, 7net-0, 7net-l3i5, m3gnet:NAME|FOLDER, mace:NAME|FILE, ase:module:callable, the folder of a "
        "model that defectscout train or a search has written, or nearest: the nearest earlier one in the store. "
        "Default: chgnet.",
        show_default=False,
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, mps or auto.", show_default=False)]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        "-r",
        help="gfn1-xtb, gfn2-xtb, cp2k, espresso, ase:module:callable, or none: write DFT inputs and stop. "
        "Default: gfn1-xtb.",
        show_default=False,
    ),
]
ReferenceOnly = Annotated[
    bool,
    typer.Option("--reference-only", help="Relax every sampling structure with the reference, without a surrogate."),
]
Learn = Annotated[
    bool | None,
    typer.Option(
        "--learn/--no-learn",
        help="Tune the surrogate on the reference's answers and scout again, until nothing lower comes; or scout with "
        "it as it is. Default: learn, where a reference runs and the surrogate can be tuned.",
        show_default=False,
    ),
]


class RefineName(StrEnum):
    """How candidates relax with the reference."""

    FIRE = "fire"
    CORRECTED = "corrected"


Refine = Annotated[
    RefineName | None,
    typer.Option(
        "--refine",
        help="How candidates of a search that scouts once relax with the reference. fire: on its forces alone; "
        "corrected: the surrogate proposes each step, for a fraction of the force calls. Default: fire.",
        show_default=False,
    ),
]
MaxForceCalls = Annotated[
    int | None,
    typer.Option(
        "--max-force-calls", help="Budget of a search that learns: reference force calls.", show_default=False
    ),
]
MaxHours = Annotated[
    float | None,
    typer.Option("--max-hours", help="Budget of a search that learns: wall time, hours.", show_default=False),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-j",
        help="Reference relaxations at once, one thread each. Default: all cores.",
        show_default=False,
    ),
]
PresetOption = Annotated[
    str, typer.Option("--preset", help="default, or paper: the paper's convergence criteria and step limits.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="TOML file with settings (see `defectscout init`); options win over it.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting, as in --set scouting.force=0.05. May be repeated.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line for every step, and tracebacks of errors.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and the answer.")]


def charges(values: list[str], option: str = "--charge") -> tuple[int, ...] | None:
    """Charge states from `0`, `-2..0` or `all`; None for doped's guesses.

    Args:
        values: what was typed.
        option: the option that it was typed for, for the error message.

    Raises:
        SettingsError: for anything else.
    """
    if "all" in values:
        return None
    found: list[int] = []
    for value in values:
        match = re.fullmatch(r"([+-]?\d+)(?:\.\.([+-]?\d+))?", value.strip())
        if match is None:
            raise SettingsError(f"{option} {value} is no charge state. Give an integer, a range such as -2..0, or all.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise SettingsError(f"{option} {value}: the range is empty. Write the lower charge first, as in -2..0.")
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def fractions(text: str) -> tuple[float, ...]:
    """Numbers from a comma-separated list.

    Raises:
        SettingsError: if a part is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(
            f"--distortions {text}: expected numbers separated by commas, such as -0.6,-0.3,0.3."
        ) from None


def assignments(values: list[str]) -> dict[str, Any]:
    """Nested settings from `section.name=value` items; values are read as TOML, else as text.

    Raises:
        SettingsError: if an item has no name or no value.
    """
    import tomllib

    settings: dict[str, Any] = {}
    for item in values:
        name, equals, text = item.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise SettingsError(f"--set {item}: expected section.name=value, as in --set scouting.force=0.05.")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        target = settings
        *sections, last = name.strip().split(".")
        for section in sections:
            target = target.setdefault(section, {})
        target[last] = value
    return settings


def default_output(host: str) -> Path:
    """Campaign folder for a host when none is given."""
    name = Path(host).name
    return Path(f"{name.split('.')[0] or 'host'}-defects")
