"""What the pages on learning tell people to type exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from defectscout.cli.main import app
from defectscout.cli.options import assignments
from defectscout.core.settings import merge_settings
from defectscout.evaluation.trust import Ending, trust, verdict
from defectscout.learning.settings import CleaningSettings, TrainSettings
from defectscout.workflow.ablation import all_runs, read_ablation
from defectscout.workflow.settings import SearchSettings, flatten, merge

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = (
    DOCS / "howto" / "build-a-dataset.md",
    DOCS / "howto" / "train-a-surrogate.md",
    DOCS / "howto" / "evaluate-a-surrogate.md",
    DOCS / "howto" / "ablate.md",
    DOCS / "howto" / "reuse-models.md",
    DOCS / "howto" / "alloys.md",
    DOCS / "howto" / "learn-while-searching.md",
    DOCS / "explanation" / "learning.md",
    REPOSITORY / "README.md",
)
BLOCK = re.compile(r"^```bash\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SEARCHING = DOCS / "howto" / "learn-while-searching.md"
TOML = re.compile(r'^```toml title="compare.toml"\n(?P<body>.*?)^```$', re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(?P<code>[^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
FOREIGN = {"--logdir"}
"""Options of other programs that the pages speak of."""


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of each call of defectscout in the page's blocks and in its inline code."""
    lines = [line for block in BLOCK.finditer(text(page)) for line in block["body"].splitlines()]
    lines += [found["code"] for found in INLINE.finditer(re.sub(r"```.*?```", "", text(page), flags=re.DOTALL))]
    for line in lines:
        words = shlex.split(line, comments=True)
        if len(words) > 2 and Path(words[0]).name == "defectscout" and "|" not in words:
            yield words[1:]


def parse(arguments: list[str]) -> Any:
    """Let typer check names, types and numbers of arguments, without calling anything."""
    command, name = get_command(app), "defectscout"
    while hasattr(command, "commands"):
        name, *arguments = arguments
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    return command.make_context(name, list(arguments))


def known_options(command: Any) -> Iterator[str]:
    for parameter in getattr(command, "params", ()):
        yield from (*parameter.opts, *parameter.secondary_opts)
    for inner in getattr(command, "commands", {}).values():
        yield from known_options(inner)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_can_be_parsed(page: Path) -> None:
    found = list(commands(page))
    assert found or page.stem == "learning"
    for arguments in found:
        try:
            parse(arguments)
        except Exception as error:
            pytest.fail(f"{page.name}: defectscout {shlex.join(arguments)}: {error}")


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match="no-such-option"):
        parse(["train", "data.db", "-o", "m", "--no-such-option"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_in_the_text_exist(page: Path) -> None:
    known = set(known_options(get_command(app))) | FOREIGN
    said = {option for found in INLINE.finditer(text(page)) for option in OPTION.findall(found["code"])}
    assert said <= known


def test_settings_in_the_text_exist() -> None:
    said = [match for page in PAGES for match in re.findall(r"--set ([a-z_]+=[\w.-]+)", text(page))]
    assert said
    merge_settings(TrainSettings(), assignments(said), "the pages")
    of_a_search = re.findall(r"--set (learn\.[a-z_.]+=[\w.-]+)", text(SEARCHING))
    assert of_a_search
    merge(SearchSettings(), assignments(of_a_search), "the page")


def test_stated_defaults_of_the_loop_are_those_of_the_settings() -> None:
    rows = re.findall(r"^\| `(learn\.[a-z_.]+)` \| `?([^|`]+?)`? \|", text(SEARCHING), re.MULTILINE)
    assert len(rows) > 8
    defaults = flatten(SearchSettings())
    for name, stated in rows:
        as_stated = merge(SearchSettings(), assignments([f"{name}={stated}"]), "the page")
        assert flatten(as_stated) == defaults, name


def test_the_verdicts_are_worded_as_the_answer_words_them() -> None:
    page = re.sub(r"\s*\n> |\s+", " ", text(SEARCHING))
    nothing: dict[str, Any] = {
        "energies": (),
        "spreads": (),
        "checks": 0,
        "foreseen": 0,
        "surprises": (),
        "window": 0.5,
    }
    converged = trust(ending=Ending.QUIET, rounds=6, quiet_rounds=3, patience=3, minima=3, unfinished=0, **nothing)
    spent = trust(
        ending=Ending.MAX_FORCE_CALLS, rounds=4, quiet_rounds=1, patience=3, minima=2, unfinished=1, **nothing
    )
    for told in (converged, spent):
        assert verdict(told) in page


def test_the_comparison_can_be_read(tmp_path: Path) -> None:
    block = TOML.search(text(DOCS / "howto" / "ablate.md"))
    assert block is not None
    file = tmp_path / "compare.toml"
    file.write_text(block["body"], encoding="utf-8")
    runs = all_runs(read_ablation(file))
    assert {run.table for run in runs} == {"S2", "S9", "S10", "forgetting", "frames"}


def test_stated_defaults_are_those_of_the_settings() -> None:
    cleaning, training = CleaningSettings(), TrainSettings()
    build, train = text(PAGES[0]), text(PAGES[1])
    assert f"above {cleaning.max_force:g} eV/Å" in build
    assert f"above {cleaning.max_energy_above_ground_state:g} eV" in build
    assert (cleaning.duplicate_energy, cleaning.duplicate_displacement) == (1e-5, 1e-3)
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| `?([^|`]+?)`? \|", train, re.MULTILINE))
    for option, stated in rows.items():
        value = getattr(training, option.replace("-", "_"))
        assert value == (float(stated) if isinstance(value, float | int) else stated), option
    assert {"base", "learning-rate", "epochs", "ensemble"} <= rows.keys()
