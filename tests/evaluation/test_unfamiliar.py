"""What is new to a tuned surrogate in a search."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ase import Atoms
from ase.build import bulk

from defectscout.core.defect import Defect, DefectKind
from defectscout.core.errors import DatasetError
from defectscout.evaluation.unfamiliar import Unfamiliar, unfamiliar
from defectscout.surrogates.model_folder import TrainedOn

SEEN = TrainedOn(("CdTe", "CdSe"), ("Cd", "Se", "Te"), (-1, 0), "HSE06", "better", "Better on 3 unseen defects.")


def vacancy(atoms: Atoms, charge: int = 0) -> Defect:
    return Defect("v_X", charge, DefectKind.VACANCY, atoms[1:], atoms, atoms.positions[0], 1, "Td", 2)


def crystal(name: str) -> Atoms:
    return bulk(name, "zincblende", a=6.0, cubic=True)


def said(trained_on: TrainedOn, host: str, defect: Defect, reference: str = "HSE06") -> list[Unfamiliar]:
    return list(unfamiliar(trained_on, host, defect, reference))


def test_nothing_is_new_to_it() -> None:
    for charge in (0, -1):
        for host in ("CdTe", "CdSe"):
            assert said(SEEN, host, vacancy(crystal(host), charge)) == []


def alloy() -> Atoms:
    """Cadmium with one selenium and three tellurium neighbours."""
    atoms = crystal("CdTe")
    atoms.symbols[next(i for i, symbol in enumerate(atoms.symbols) if symbol == "Te")] = "Se"
    return atoms


def test_an_alloy_asks_for_bonds_that_no_end_member_has_shown() -> None:
    (found,) = said(SEEN, "Cd4SeTe3", vacancy(alloy()))
    assert found.kind == "bonds"
    assert "both elements of Se–Te:" in found.sentence


def test_a_host_that_holds_both_elements_has_shown_their_bonds() -> None:
    seen = replace(SEEN, hosts=("CdTe", "CdSe", "Cd2SeTe"))
    assert said(seen, "Cd4SeTe3", vacancy(alloy())) == []


def test_a_vacancy_of_the_mixed_sublattice_asks_for_no_new_bonds() -> None:
    atoms = crystal("TeCd")  # the first atom is a tellurium, and cadmium stands around it
    atoms.symbols[2] = "Se"
    assert atoms.get_chemical_formula() == "Cd4SeTe3"
    assert said(SEEN, "Cd4SeTe3", vacancy(atoms)) == []


def test_bonds_of_an_unseen_element_are_told_with_the_element() -> None:
    (found,) = said(replace(SEEN, hosts=("CdTe",), elements=("Cd", "Te")), "Cd4SeTe3", vacancy(alloy()))
    assert found.kind == "elements"


def test_new_elements_of_a_known_family() -> None:
    (found,) = said(SEEN, "ZnS", vacancy(crystal("ZnS")))
    assert found.kind == "elements"
    assert "have no S and Zn;" in found.sentence


def test_an_impurity_is_a_new_element() -> None:
    atoms = crystal("CdTe")
    atoms.symbols[-1] = "Cl"
    (found,) = said(SEEN, "CdTe", vacancy(atoms))
    assert found.kind == "elements"
    assert "have no Cl;" in found.sentence


def test_a_new_family_of_known_elements() -> None:
    (found,) = said(SEEN, "CdTe2", vacancy(crystal("CdTe")))
    assert found == Unfamiliar(
        "family", "The surrogate was trained on no host of the family of CdTe2 (II-VI2); the nearest is CdTe."
    )


def test_without_hosts_no_nearest_one_is_named() -> None:
    (found,) = said(replace(SEEN, hosts=()), "CdTe", vacancy(crystal("CdTe")))
    assert found.sentence.endswith("(II-VI).")


@pytest.mark.parametrize(
    ("seen", "charge", "words"),
    [
        ((-1, 0), -2, "in charge states −1 and 0, not −2."),
        ((0,), 1, "in charge state 0, not +1."),
        ((-2, -1, 0), 2, "in charge states −2, −1 and 0, not +2."),
    ],
)
def test_new_charge_states(seen: tuple[int, ...], charge: int, words: str) -> None:
    (found,) = said(replace(SEEN, charges=seen), "CdTe", vacancy(crystal("CdTe"), charge))
    assert found.kind == "charge"
    assert found.sentence.endswith(words)


def test_a_model_that_saw_no_defect_is_new_to_no_charge_alone() -> None:
    """That it is untouched by defects is said of it as of any other model."""
    assert said(replace(SEEN, charges=()), "CdTe", vacancy(crystal("CdTe"), -2)) == []


def test_only_another_method_is_told() -> None:
    defect = vacancy(crystal("CdTe"))
    assert said(SEEN, "CdTe", defect, "hse06") == []
    assert said(SEEN, "CdTe", defect, "none") == []
    (found,) = said(SEEN, "CdTe", defect, "gfn1-xtb")
    assert found.kind == "method"
    assert "surface of HSE06, and the reference is gfn1-xtb" in found.sentence


@pytest.mark.parametrize(
    ("verdict", "kind", "words"),
    [
        ("worse", "worse", "counts as untouched. It fell."),
        ("mixed", "unproven", "only partly better than the model that it was made from. It fell."),
        ("not judged", "unproven", "was not compared with the model that it was made from on unseen frames. It fell."),
    ],
)
def test_verdicts(verdict: str, kind: str, words: str) -> None:
    trained_on = replace(SEEN, verdict=verdict, finding="It fell.")
    (found,) = said(trained_on, "CdTe", vacancy(crystal("CdTe")))
    assert found.kind == kind
    assert found.sentence.endswith(words)
    (bare,) = said(replace(trained_on, finding=""), "CdTe", vacancy(crystal("CdTe")))
    assert bare.sentence == found.sentence.removesuffix(" It fell.")


def test_everything_at_once_is_told_in_sentences() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    found = said(replace(SEEN, verdict="worse"), "NaCl", vacancy(atoms, 1), "gfn1-xtb")
    assert [item.kind for item in found] == ["worse", "elements", "family", "charge", "method"]
    for item in found:
        assert item.sentence[0].isupper()
        assert item.sentence.endswith(".")


def test_a_host_that_is_no_formula() -> None:
    with pytest.raises(DatasetError, match="not a chemical formula"):
        said(replace(SEEN, hosts=("my host",)), "CdTe", vacancy(crystal("CdTe")))
