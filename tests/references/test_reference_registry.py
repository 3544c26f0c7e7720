from __future__ import annotations

import pytest

from defectscout.core.errors import UnknownMethodError
from defectscout.references.base import Reference
from defectscout.references.registry import available_references, load_reference


def test_what_there_is() -> None:
    assert {"ase", "gfn1-xtb", "gfn2-xtb"} <= set(available_references())


@pytest.mark.parametrize("name", ["gfn1-xtb", "gfn2-xtb", "ase:ase.calculators.emt:EMT"])
def test_a_reference_is_loaded_by_its_name(name: str) -> None:
    reference = load_reference(name)
    assert isinstance(reference, Reference)
    assert reference.info.name == name


@pytest.mark.parametrize(
    ("wrong", "meant"), [("gfn1xtb", "gfn1-xtb"), ("GFN2-XTB", "gfn2-xtb"), ("gnf1-xtb", "gfn1-xtb")]
)
def test_a_misspelt_name_is_answered_with_the_closest(wrong: str, meant: str) -> None:
    with pytest.raises(UnknownMethodError, match=f"'{wrong}'. Did you mean '{meant}'"):
        load_reference(wrong)


def test_a_name_like_nothing_else_is_answered_with_all() -> None:
    with pytest.raises(UnknownMethodError, match=r"There are: .*gfn1-xtb, gfn2-xtb") as caught:
        load_reference("castep")
    assert "Did you mean" not in str(caught.value)
