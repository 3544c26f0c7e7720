"""Special quasirandom structures, and how random a supercell is."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from defectscout.core.defect import Host
from defectscout.core.errors import AlloyError, MissingExtraError
from defectscout.hosts.arrangement import AlloySupercell, arranged, occupations_of, random_alloy
from defectscout.hosts.quasirandom import _objective, quasirandom_alloy
from defectscout.hosts.settings import SupercellSettings
from defectscout.hosts.short_range_order import mixed_shares, pair_shells, warren_cowley
from defectscout.hosts.substitution import Substitution
from defectscout.hosts.supercell import choose_supercell, repeated

A = 6.56
ZINC_BLENDE = Structure.from_spacegroup("F-43m", Lattice.cubic(A), ["Cd", "Te"], [[0, 0, 0], [0.25, 0.25, 0.25]])
PRIMITIVE = ZINC_BLENDE.get_primitive_structure()
PARENT = choose_supercell(PRIMITIVE, SupercellSettings(), "CdTe", 0.01)
LOW_SYMMETRY = Structure.from_spacegroup(
    "Pnma",
    Lattice.orthorhombic(11.3, 3.84, 11.2),
    ["Sb", "Sb", "S", "S", "S"],
    [[0.03, 0.25, 0.67], [0.35, 0.25, 0.46], [0.05, 0.25, 0.13], [0.38, 0.25, 0.06], [0.21, 0.25, 0.81]],
)
HALF = (Substitution("Te", (("Se", 0.5),)),)
TWO = (Substitution("Te", (("Se", 1 / 3), ("S", 1 / 3))), Substitution("Cd", (("Zn", 1 / 3),)))


def host(structure: Structure, matrix: np.ndarray) -> Host:
    return Host(structure, repeated(structure, matrix), matrix.astype(float), "host")


def with_symbols(parent: Host, substitutions: tuple[Substitution, ...], symbols: list[str]) -> AlloySupercell:
    return arranged(parent, symbols, occupations_of(parent, substitutions), "random", 1)


def badness(alloy: AlloySupercell) -> float:
    return sum(abs(order.value) / order.shell for order in warren_cowley(alloy, shells=3))


def test_shells_of_zinc_blende() -> None:
    parents = [site.specie.symbol for site in PARENT.supercell]
    shells = pair_shells(PARENT.supercell, parents, ["Cd", "Te"], 3)
    found = {(shell.sublattices, shell.number): shell for shell in shells}
    assert len(found) == len(shells) == 9
    for kind, neighbours, distances in (
        (("Cd", "Te"), (4, 12, 12), np.sqrt([3, 11, 19]) / 4),
        (("Te", "Te"), (12, 6, 24), np.sqrt([0.5, 1, 1.5])),
        (("Cd", "Cd"), (12, 6, 24), np.sqrt([0.5, 1, 1.5])),
    ):
        for number, (count, distance) in enumerate(zip(neighbours, distances, strict=True), start=1):
            shell = found[kind, number]
            assert shell.pairs.sum() == 27 * count
            assert shell.reach == pytest.approx((distance * A, distance * A))
            assert all(parents[i] == kind[0] and parents[j] == kind[1] for i, j in np.argwhere(shell.pairs))


def test_order_of_an_ordered_alloy() -> None:
    # CuPt-like and CuAu-like order along [001] of a cubic cell: alternating planes of Te and Se.
    parent = host(ZINC_BLENDE, 2 * np.eye(3, dtype=int))
    symbols = [site.specie.symbol for site in parent.supercell]
    for index, site in enumerate(parent.supercell):
        if site.specie.symbol == "Te" and round(4 * site.frac_coords[2] - 0.5) % 2:
            symbols[index] = "Se"
    alloy = with_symbols(parent, HALF, symbols)
    first, second = warren_cowley(alloy, shells=2)
    assert (first.sublattices, first.species, first.shell) == (("Te", "Te"), ("Te", "Se"), 1)
    # 8 of 12 nearest neighbours stand in the planes above and below, and none of the 6 next-nearest is another element.
    assert first.value == pytest.approx(1 - (8 / 12) / 0.5)
    assert second.value == pytest.approx(1)


def test_order_between_two_sublattices() -> None:
    parent = host(ZINC_BLENDE, 2 * np.eye(3, dtype=int))
    symbols = [site.specie.symbol for site in parent.supercell]
    for index, site in enumerate(parent.supercell):
        if site.frac_coords[2] > 0.49:  # ZnSe on CdTe
            symbols[index] = {"Cd": "Zn", "Te": "Se"}[symbols[index]]
    alloy = with_symbols(parent, (*HALF, Substitution("Cd", (("Zn", 0.5),))), symbols)
    orders = {(order.species, order.shell): order for order in warren_cowley(alloy, shells=1)}
    assert {order.sublattices for order in orders.values()} == {("Te", "Te"), ("Te", "Cd"), ("Cd", "Cd")}
    # Of the two planes of anions in a slab, one has all its bonds to the slab's own cations, the other half of them.
    assert orders[("Te", "Cd"), 1].value == pytest.approx(-0.5)
    assert orders[("Se", "Zn"), 1].value == pytest.approx(-0.5)
    assert orders[("Te", "Zn"), 1].value == pytest.approx(0.5)
    assert orders[("Te", "Se"), 1].value > 0.3


def test_random_arrangements_are_random_on_average() -> None:
    values = np.array([[o.value for o in warren_cowley(random_alloy(PARENT, HALF, k, 5), 2)] for k in range(200)])
    # No site is a neighbour of itself: −1/(n − 1) with n = 27.
    error = values.std(axis=0) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) + 1 / 26) < 4 * error)


def test_shares_weigh_the_orders_of_a_species_to_zero() -> None:
    # Of two sublattices, sum over the second's elements of share × order: 0 for every element of the first.
    alloy = random_alloy(PARENT, TWO, 1, 3)
    shares = mixed_shares(alloy)
    for anion in ("Te", "Se", "S"):
        for shell in (1, 2):
            found = [o for o in warren_cowley(alloy) if o.species[0] == anion and o.sublattices == ("Te", "Cd")]
            total = sum(o.value * shares["Cd"][o.species[1]] for o in found if o.shell == shell)
            assert total == pytest.approx(0, abs=1e-12)


def test_nothing_mixed_has_no_order() -> None:
    assert warren_cowley(random_alloy(PARENT, (Substitution("Te", (("Se", 1.0),)),), 1, 1)) == ()


def test_low_symmetry_has_whole_shells() -> None:
    alloy = random_alloy(host(LOW_SYMMETRY, np.diag([1, 3, 1])), (Substitution("S", (("Se", 0.5),)),), 1, 1)
    assert [order.shell for order in warren_cowley(alloy, shells=6)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("missing", ["sqsgenerator"])
def test_missing_package_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'defectscout\[sqs\]'"):
        quasirandom_alloy(PARENT, HALF, 1, 42)


def test_end_members_need_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqsgenerator", None)
    alloy = quasirandom_alloy(PARENT, (Substitution("Te", (("Se", 1.0),)),), 1, 42)
    assert alloy.structure.composition.formula == "Cd27 Se27"
    assert alloy.arrangement == "sqs"


@pytest.fixture
def sqsgenerator() -> object:
    return pytest.importorskip("sqsgenerator")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer arrangements are looked at, where it does not matter how good the best one is."""
    monkeypatch.setattr("defectscout.hosts.quasirandom._DRAWN", 5_000)


@pytest.mark.usefixtures("sqsgenerator")
class TestQuasirandom:
    @pytest.mark.usefixtures("few")
    @pytest.mark.parametrize("substitutions", [HALF, (Substitution("Te", (("Se", 0.2),)),), TWO])
    def test_counts_order_and_parents(self, substitutions: tuple[Substitution, ...]) -> None:
        alloy = quasirandom_alloy(PARENT, substitutions, 2, 42)
        plain = random_alloy(PARENT, substitutions, 2, 42)
        assert alloy.occupations == occupations_of(PARENT, substitutions)
        symbols = [site.specie.symbol for site in alloy.structure]
        assert symbols == [site.specie.symbol for site in plain.structure]  # counts, and grouped the same way
        assert (alloy.arrangement, alloy.realisation) == ("sqs", 2)
        sites = {tuple(c): s.specie.symbol for c, s in zip(PARENT.supercell.frac_coords, PARENT.supercell, strict=True)}
        assert alloy.parents == tuple(sites[tuple(coords)] for coords in alloy.structure.frac_coords)
        assert Counter(alloy.parents) == {"Cd": 27, "Te": 27}

    @pytest.mark.usefixtures("few")
    def test_seeds_and_realisations(self) -> None:
        first = quasirandom_alloy(PARENT, HALF, 1, 42).structure
        quasirandom_alloy(PARENT, TWO, 1, 42)
        others = [quasirandom_alloy(PARENT, HALF, r, s).structure for r, s in ((2, 42), (3, 42), (1, 43))]
        assert quasirandom_alloy(PARENT, HALF, 1, 42).structure == first
        assert np.array_equal(quasirandom_alloy(PARENT, HALF, 1, 42).structure.frac_coords, first.frac_coords)
        assert len({structure.frac_coords.tobytes() for structure in (first, *others)}) == 4

    def test_another_process_makes_the_same(self) -> None:
        # The package keeps arrangements that it finds equally good in tables whose order changes from run to run.
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "import test_quasirandom as t\n"
            "print(t.quasirandom_alloy(t.PARENT, t.HALF, 1, 42).structure.frac_coords.tobytes().hex())"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert said.strip() == quasirandom_alloy(PARENT, HALF, 1, 42).structure.frac_coords.tobytes().hex()

    @pytest.mark.parametrize("substitutions", [HALF, TWO])
    def test_more_random_than_any_of_fifty_random_ones(self, substitutions: tuple[Substitution, ...]) -> None:
        drawn = [badness(random_alloy(PARENT, substitutions, k, 1)) for k in range(50)]
        found = [badness(quasirandom_alloy(PARENT, substitutions, k, 1)) for k in (1, 2)]
        assert max(found) <= min(drawn)
        assert max(found) < 0.5 * np.mean(drawn)

    def test_nearest_shells_at_half_are_as_random_as_the_counts_allow(self) -> None:
        first, second = warren_cowley(quasirandom_alloy(PARENT, HALF, 1, 42), shells=2)
        # Of 162 and 81 pairs, 14 × 13 / 27² × 2 are unlike in a random alloy; every Te has an even number of
        # neighbours, so that unlike pairs come in twos.
        share = 2 * 14 * 13 / 27**2
        assert abs(first.value) <= 2 / (162 * share)
        assert abs(second.value) <= 2 / (81 * share)

    @pytest.mark.usefixtures("few")
    @pytest.mark.parametrize("substitutions", [HALF, TWO])
    def test_what_is_minimised_is_the_sum_of_orders(self, substitutions: tuple[Substitution, ...]) -> None:
        # The package's own value for its best arrangement against ours, with shells and weights as documented.
        import sqsgenerator

        seen: list[float] = []
        optimize = sqsgenerator.optimize

        def spy(config: object) -> object:
            found = optimize(config)
            seen.append(found[0][0])
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sqsgenerator, "optimize", spy)
            alloy = quasirandom_alloy(PARENT, substitutions, 1, 42)
        kept = {
            (kind, number)
            for kind in {order.sublattices for order in warren_cowley(alloy, 3)}
            for number in range(1, 4)
            if (kind, number) in _kept(alloy)
        }
        total = sum(abs(o.value) / o.shell for o in warren_cowley(alloy, 3) if (o.sublattices, o.shell) in kept)
        assert seen[0] == pytest.approx(total, abs=1e-9)

    @pytest.mark.usefixtures("few")
    def test_low_symmetry(self) -> None:
        parent = host(LOW_SYMMETRY, np.diag([1, 3, 1]))
        mixed = (Substitution("S", (("Se", 0.5),)), Substitution("Sb", (("Bi", 0.5),)))
        alloy = quasirandom_alloy(parent, mixed, 1, 1)
        assert badness(alloy) < min(badness(random_alloy(parent, mixed, k, 1)) for k in range(20))

    def test_tiny_supercells_are_refused(self) -> None:
        with pytest.raises(AlloyError, match=r"4 atoms the nearest sites of Te.*periodic images.*--arrangement random"):
            quasirandom_alloy(host(PRIMITIVE, np.diag([2, 1, 1])), HALF, 1, 1)

    @pytest.mark.usefixtures("few")
    def test_handlers_of_interrupts_stay(self) -> None:
        quasirandom_alloy(PARENT, HALF, 1, 42)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    def test_an_interrupt_inside_is_passed_on(self, tmp_path: Path) -> None:
        # In a process of its own: the package finds nothing any more after one.
        code = (
            f"import sys, os, signal; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "import sqsgenerator, test_quasirandom as t\n"
            "optimize = sqsgenerator.optimize\n"
            "def interrupted(config):\n"
            "    os.system(f'(sleep 0.3; kill -INT {os.getpid()}) &')\n"
            "    return optimize(config | {'iterations': 10**9, 'chunk_size': 10**9})\n"
            "calls = iter([interrupted, optimize])\n"
            "sqsgenerator.optimize = lambda config: next(calls)(config)\n"
            "try:\n    t.quasirandom_alloy(t.PARENT, t.HALF, 1, 42)\n"
            "except KeyboardInterrupt:\n    print('interrupted')\n"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        assert said.stdout.strip() == "interrupted"


def _kept(alloy: AlloySupercell) -> set[tuple[tuple[str, str], int]]:
    """Shells that the objective holds: those whose windows have a weight."""
    objective = _objective(PARENT.supercell, mixed_shares(alloy))
    middles = (objective.bounds[:-1] + objective.bounds[1:]) / 2
    weighted = middles[objective.weights.any(axis=(1, 2))]
    parents = [site.specie.symbol for site in PARENT.supercell]
    shells = pair_shells(PARENT.supercell, parents, list(mixed_shares(alloy)), 3)
    return {
        (shell.sublattices, shell.number)
        for shell in shells
        if np.any((weighted >= shell.reach[0] - 0.01) & (weighted <= shell.reach[1] + 0.01))
    }
