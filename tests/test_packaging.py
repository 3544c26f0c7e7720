"""What is shipped: metadata, entry points, extras, and an import that stays light."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, entry_points
from importlib.resources import files
from pathlib import Path

import pytest

import defectscout

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = ("torch", "pymatgen", "doped", "shakenbreak", "dscribe", "chgnet", "matgl", "sevenn", "tblite", "ase")


def test_version_is_one() -> None:
    assert distribution("defectscout").version == defectscout.__version__


@pytest.mark.parametrize("name", ["CITATION.cff", "CHANGELOG.md"])
def test_version_is_stated(name: str) -> None:
    pattern = {"CITATION.cff": r"^version: (\S+)$", "CHANGELOG.md": r"^## \[(\d[^\]]*)\]"}[name]
    stated = re.search(pattern, (REPOSITORY / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert stated is not None
    assert stated[1] == defectscout.__version__


def test_types_are_shipped() -> None:
    assert files("defectscout").joinpath("py.typed").is_file()
    assert "Typing :: Typed" in (distribution("defectscout").metadata.get_all("Classifier") or [])


def test_licence_is_shipped() -> None:
    metadata = distribution("defectscout").metadata
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"


@pytest.mark.parametrize("group", ["defectscout.surrogates", "defectscout.references"])
def test_entry_points_are_callable(group: str) -> None:
    declared = PROJECT["entry-points"][group]
    installed = {point.name: point for point in entry_points(group=group) if point.value in declared.values()}
    assert installed.keys() == declared.keys()
    assert all(callable(point.load()) for point in installed.values())


def test_command_is_callable() -> None:
    (command,) = entry_points(group="console_scripts", name="defectscout")
    assert callable(command.load())


def test_extras_in_messages_exist() -> None:
    """Whatever a message tells a user to install can be installed."""
    named: dict[str, str] = {}
    for path in sorted((REPOSITORY / "src").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        calls = re.findall(r"MissingExtraError\((.*?)\)", text, re.DOTALL)
        for call in calls:
            arguments = re.findall(r'"([^"]*)"', call)
            if arguments:
                named[arguments[-1]] = str(path)
        for extra in re.findall(r"defectscout\[(\w+)\]", text):
            named[extra] = str(path)
    assert named, "no adapter names an extra"
    unknown = {extra: path for extra, path in named.items() if extra not in PROJECT["optional-dependencies"]}
    assert not unknown


@pytest.mark.parametrize("module", ["defectscout", "defectscout.cli.main"])
def test_import_is_light(module: str) -> None:
    """Help and completion answer at once because nothing heavy is imported before it is needed."""
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = HEAVY if module == "defectscout" else tuple(name for name in HEAVY if name != "ase")
    assert not loaded.intersection(heavy)


def test_readme_shows_what_to_expect() -> None:
    """`make demo` prints this part of the README before it starts."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^<!-- demo:begin -->\n(.*?)^<!-- demo:end -->$", readme, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert len(shown[1].split()) > 30


def test_constraints_fit_the_requirements() -> None:
    """Every direct dependency is pinned, to a version that pyproject.toml allows."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    extras = PROJECT["optional-dependencies"]
    covered = ("dev", "m3gnet", "sevennet", "docs", "report")
    wanted = [*PROJECT["dependencies"], *(item for extra in covered for item in extras[extra])]
    for requirement in map(Requirement, wanted):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not pinned"
        assert requirement.specifier.contains(version), f"{requirement} does not allow {version}"
