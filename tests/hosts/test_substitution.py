"""Which elements share sites, and how many of a supercell each takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from defectscout.core.errors import AlloyError
from defectscout.hosts.substitution import Substitution, check_substitutions, occupation

ZINC_BLENDE = Structure.from_spacegroup("F-43m", Lattice.cubic(6.56), ["Cd", "Te"], [[0, 0, 0], [0.25, 0.25, 0.25]])
PRIMITIVE = ZINC_BLENDE.get_primitive_structure()


def supercell(repeats: int) -> Structure:
    return PRIMITIVE.make_supercell([repeats, 1, 1], in_place=False)


def counts(repeats: int, **shares: float) -> dict[str, int]:
    return dict(occupation(supercell(repeats), Substitution("Te", tuple(shares.items()))).counts)


def test_species_begin_with_the_parents_own() -> None:
    species = Substitution("Te", (("Se", 0.3), ("S", 0.2))).species
    assert [symbol for symbol, _ in species] == ["Te", "Se", "S"]
    assert [share for _, share in species] == pytest.approx([0.5, 0.3, 0.2])
    assert Substitution("Te", (("Se", 0.7), ("S", 0.3))).species[0] == ("Te", 0.0)  # no -1e-17


@pytest.mark.parametrize(
    ("sites", "x", "expected"),
    [
        (4, 0.5, (2, 2)),
        (27, 1 / 3, (18, 9)),
        (27, 0.333, (18, 9)),
        (10, 0.1 + 0.2, (7, 3)),
        (5, 0.0, (5, 0)),
        (5, 1.0, (0, 5)),
    ],
)
def test_exact_compositions(sites: int, x: float, expected: tuple[int, int]) -> None:
    held = occupation(supercell(sites), Substitution("Te", (("Se", x),)))
    assert tuple(count for _, count in held.counts) == expected
    assert held.is_exact
    assert held.sites == sites


@pytest.mark.parametrize(
    ("sites", "x", "expected"), [(27, 0.2, (22, 5)), (27, 0.5, (14, 13)), (27, 0.3, (19, 8)), (3, 0.5, (2, 1))]
)
def test_nearest_compositions(sites: int, x: float, expected: tuple[int, int]) -> None:
    held = occupation(supercell(sites), Substitution("Te", (("Se", x),)))
    assert tuple(count for _, count in held.counts) == expected
    assert not held.is_exact


def test_words_say_what_is_held_and_what_was_asked_for() -> None:
    held = occupation(supercell(27), Substitution("Te", (("Se", 0.2),)))
    assert held.in_words == "Te 22, Se 5 of 27 sites (Te 0.815, Se 0.185; asked for: Te 0.8, Se 0.2)"
    assert held.fractions == (("Te", 22 / 27), ("Se", 5 / 27))


def test_quinary_sublattice() -> None:
    assert counts(27, Se=0.2, S=0.2, O=0.2, Po=0.2) == {"Te": 6, "Se": 6, "S": 5, "O": 5, "Po": 5}
    assert counts(20, Se=0.2, S=0.2, O=0.2, Po=0.2) == {"Te": 4, "Se": 4, "S": 4, "O": 4, "Po": 4}


@given(
    weights=st.lists(st.integers(1, 50), min_size=2, max_size=5),
    sites=st.integers(1, 120),
)
def test_largest_remainders(weights: list[int], sites: int) -> None:
    names = ["Te", "Se", "S", "O", "Po"][: len(weights)]
    shares = [weight / sum(weights) for weight in weights]
    parent = Structure(Lattice.cubic(5), ["Te"] * sites, [[k / sites, 0, 0] for k in range(sites)])
    try:
        held = occupation(parent, Substitution("Te", tuple(zip(names[1:], shares[1:], strict=True))))
    except AlloyError:
        # Only where some element's share is less than one site.
        assert min(shares) * sites < 1
        return
    assert [symbol for symbol, _ in held.counts] == names
    assert sum(count for _, count in held.counts) == sites
    assert all(abs(count - share * sites) < 1 for (_, count), share in zip(held.counts, shares, strict=True))
    # No site could be moved to another element and bring the counts nearer.
    errors = [count - share * sites for (_, count), share in zip(held.counts, shares, strict=True)]
    assert max(errors) - min(errors) < 1 + 1e-5


def test_an_element_without_a_site_names_the_nearest_composition() -> None:
    with pytest.raises(AlloyError, match=r"4 sites of Te, too few for Se to have a share of 0\.1.*Te 1, Se 0.*0\.25"):
        counts(4, Se=0.1)
    with pytest.raises(AlloyError, match=r"with 10 of these sites or more"):
        counts(4, Se=0.1)
    with pytest.raises(AlloyError, match=r"too few for Te to have a share of 0\.01"):
        counts(4, Se=0.99)


def test_what_the_message_recommends_works() -> None:
    assert counts(4, Se=0.25) == {"Te": 3, "Se": 1}
    assert counts(10, Se=0.1) == {"Te": 9, "Se": 1}


def test_a_possible_alloy_passes() -> None:
    check_substitutions(PRIMITIVE, [Substitution("Te", (("Se", 0.3), ("S", 0.2))), Substitution("Cd", (("Zn", 1.0),))])
    check_substitutions(PRIMITIVE, [Substitution("Te", (("Se", 1 / 3), ("S", 1 / 3), ("O", 1 / 3)))])


@pytest.mark.parametrize(
    ("substitutions", "said"),
    [
        ([], r"No substitution is given.*--substitute Te:Se"),
        ([Substitution("S", (("Se", 0.5),))], r"CdTe contains no S, .*It contains Cd, Te"),
        ([Substitution("Te", (("Se", 0.5),)), Substitution("Te", (("S", 0.1),))], r"sites of Te are substituted twice"),
        ([Substitution("Te", ())], r"Nothing is named that takes the sites of Te.*Te:Se"),
        ([Substitution("Te", (("Xx", 0.5),))], r"'Xx' is no chemical element"),
        ([Substitution("Te", (("X", 0.5),))], r"'X' is no chemical element"),
        ([Substitution("Te", (("Se", 0.1), ("Se", 0.2)))], r"Se is named twice among those that take the sites of Te"),
        ([Substitution("Te", (("Te", 0.5),))], r"Te cannot be substituted by itself"),
        ([Substitution("Te", (("Se", 1.2),))], r"fraction of 1\.2 for Se is impossible.*Te sites.*from 0 to 1"),
        ([Substitution("Te", (("Se", -0.1),))], r"fraction of -0\.1 for Se is impossible"),
        ([Substitution("Te", (("Se", float("nan")),))], r"fraction of nan for Se is impossible"),
        ([Substitution("Te", (("Se", 0.7), ("S", 0.4)))], r"sum to 1\.1: Se 0\.7 \+ S 0\.4.*1 at most"),
        ([Substitution("Te", (("Cd", 0.5),))], r"Cd has sites of its own in CdTe.*antisite.*--defect antisites"),
        (
            [Substitution("Te", (("Se", 0.5),)), Substitution("Cd", (("Se", 0.5),))],
            r"Se would stand on the sites of both Te and Cd.*antisite",
        ),
        (
            [Substitution("Te", (("Cd", 0.5),)), Substitution("Cd", (("Zn", 0.5),))],
            r"Cd would stand on the sites of both Te and Cd",
        ),
    ],
)
def test_impossible_alloys(substitutions: list[Substitution], said: str) -> None:
    with pytest.raises(AlloyError, match=said):
        check_substitutions(PRIMITIVE, substitutions)
