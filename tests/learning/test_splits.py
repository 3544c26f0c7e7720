"""Splits: what stays together stays together, shares are hit, and the seed decides."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.errors import DatasetError, SettingsError
from defectscout.learning.families import composition_of, family_of
from defectscout.learning.frames import BULK, FrameOrigin, IndexRow
from defectscout.learning.settings import SplitSettings
from defectscout.learning.splits import SUBSETS, TEST, TRAIN, VALIDATION, default_split, split

# Hosts of the kinds that the paper has: many families, some elements in one host only.
PAPER_LIKE = re.findall(
    r"\w+",
    "Li4SnS4 Li4GeS4 Li4TiS4 Na4SnS4 Na4GeSe4 GaAgS2 GaCuS2 InAgS2 InCuS2 GaAgSe2 GaCuSe2 InAgSe2 InCuSe2 AlCuS2 "
    "BiSI SbSBr BiSeI SbSeI BiSBr SbSI BiSeBr SbSCl9 BiAgSCl2 CdS CdSe ZnS ZnSe HgS CaS CaSe SrS MgS MgSe SnS SnSe GeS "
    "GeSe PbS RhSe2 TlGeS2 Ca2SnS4 Cu2SiSe3 Cu2GeS3 Cu2SnS3 Sb2S3 Sb2Se3 Bi2S3 Bi2Se3 In2S3 Ga2Se3",
)


class Rows:
    """Builds an index, numbering its rows."""

    def __init__(self) -> None:
        self.rows: list[IndexRow] = []

    def add(
        self,
        host: str,
        defect: str,
        charge: int = 0,
        *,
        starts: int = 2,
        steps: int = 3,
        method: str = "xtb",
        selected: bool = True,
    ) -> Rows:
        counts = {symbol: 16 * count for symbol, count in composition_of(host).items()}
        if defect.startswith("v_"):
            counts[defect.split("_")[1]] -= 1
        for start in range(starts):
            for step in range(steps):
                origin = FrameOrigin(host, defect, charge, f"start{start}", step, method, "file")
                row = len(self.rows)
                self.rows.append(
                    IndexRow(row, origin, -float(row), 0.1, tuple(sorted(counts.items())), None, "", selected)
                )
        return self


def paper_like(seed: int = 0) -> Sequence[IndexRow]:
    """50 hosts with 132 cation vacancies, unevenly spread, as in the paper."""
    rng = random.Random(seed)
    per_host = dict.fromkeys(PAPER_LIKE, 1)
    for host in rng.choices(PAPER_LIKE, k=132 - len(PAPER_LIKE)):
        per_host[host] += 1
    rows = Rows()
    for host, count in per_host.items():
        cation = next(iter(composition_of(host)))
        for number in range(count):
            rows.add(host, f"v_{cation}_s{number}", starts=2, steps=5)
        rows.add(host, BULK, starts=1, steps=3)
    return rows.rows


def groups(rows: Sequence[IndexRow], subsets: Mapping[int, str], of: str) -> dict[object, set[str]]:
    found: dict[object, set[str]] = defaultdict(set)
    for row in rows:
        if row.row in subsets:
            key = {
                "host": row.origin.host,
                "defect": (row.origin.host, row.origin.defect),
                "start": (row.origin.host, row.origin.defect, row.origin.charge, row.origin.start),
            }[of]
            found[key].add(subsets[row.row])
    return found


def defect_shares(rows: Sequence[IndexRow], subsets: Mapping[int, str]) -> dict[str, float]:
    found = {(r.origin.defect_id, subsets[r.row]) for r in rows if r.row in subsets and not r.origin.is_bulk}
    counts = Counter(subset for _, subset in found)
    return {subset: counts[subset] / len(found) for subset in SUBSETS}


PURE = SplitSettings(augment_validation=0.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_papers_scale(seed: int) -> None:
    rows = paper_like(seed)
    subsets = split(rows, PURE.model_copy(update={"seed": seed}))
    assert len({row.origin.host for row in rows}) == 50
    shares = defect_shares(rows, subsets)
    assert shares[TRAIN] == pytest.approx(0.68, abs=0.03)
    assert shares[VALIDATION] == pytest.approx(0.05, abs=0.03)
    assert shares[TEST] == pytest.approx(0.27, abs=0.03)
    assert all(len(found) == 1 for found in groups(rows, subsets, "host").values())


def test_elements_and_families_are_balanced() -> None:
    rows = paper_like()
    subsets = split(rows, PURE)
    host_of = {row.origin.host: subsets[row.row] for row in rows}
    elements: dict[str, set[str]] = defaultdict(set)
    families: dict[str, set[str]] = defaultdict(set)
    sizes = Counter(str(family_of(host)) for host in host_of)
    for host, subset in host_of.items():
        families[str(family_of(host))].add(subset)
        for symbol in composition_of(host):
            elements[symbol].add(subset)
    assert all(TRAIN in found for found in elements.values())
    large = [family for family, size in sizes.items() if size >= 5]
    assert len(large) >= 4
    for family in large:
        assert {TRAIN, TEST} <= families[family]


def test_balance_beats_chance() -> None:
    rows = paper_like()

    def imbalance(subsets: Mapping[int, str]) -> float:
        per_element: dict[str, Counter[str]] = defaultdict(Counter)
        for row in rows:
            for symbol, _ in row.composition:
                per_element[symbol][subsets[row.row]] += 1
        return sum(abs(c[TEST] / c.total() - 0.27) for c in per_element.values()) / len(per_element)

    hosts = sorted({row.origin.host for row in rows})
    by_chance = []
    for seed in range(20):
        shuffled = random.Random(seed).sample(hosts, len(hosts))
        of = {host: TRAIN if i < 34 else VALIDATION if i < 37 else TEST for i, host in enumerate(shuffled)}
        by_chance.append(imbalance({row.row: of[row.origin.host] for row in rows}))
    assert imbalance(split(rows, PURE)) < min(by_chance)


def test_bulk_goes_with_its_host_and_a_host_of_bulk_alone_trains() -> None:
    rows = [*paper_like()]
    alone = FrameOrigin("InP", BULK, 0, "relax", 0, "xtb", "file")
    rows.append(IndexRow(len(rows), alone, -1.0, 0.1, (("In", 4), ("P", 4)), None, "", True))
    subsets = split(rows, PURE)
    assert subsets[len(rows) - 1] == TRAIN
    for row in rows[:-1]:
        if row.origin.is_bulk:
            assert {subsets[row.row]} == groups(rows, subsets, "host")[row.origin.host]


def test_augmentation_moves_training_frames_of_many_defects() -> None:
    rows = paper_like()
    pure, augmented = split(rows, PURE), split(rows, SplitSettings(augment_validation=0.1))
    moved = [row for row in rows if pure[row.row] != augmented[row.row]]
    n_train = sum(pure[row.row] == TRAIN and not row.origin.is_bulk for row in rows)
    assert len(moved) == round(0.1 * n_train)
    assert all(pure[row.row] == TRAIN and augmented[row.row] == VALIDATION for row in moved)
    assert not any(row.origin.is_bulk for row in moved)
    # Ten frames for each defect: one of each goes, and no defect gives two.
    assert set(Counter(row.origin.defect_id for row in moved).values()) == {1}


def test_by_defect_keeps_charge_states_together_and_bulk_in_training() -> None:
    rows = Rows().add("InP", BULK)
    for name in ("v_In", "v_P", "In_P", "P_In", "i_In", "i_P"):
        for charge in (-1, 0, 1):
            rows.add("InP", name, charge)
    subsets = split(rows.rows, SplitSettings(by="defect", train=0.6, validation=0.2, test=0.2, augment_validation=0.0))
    found = groups(rows.rows, subsets, "defect")
    assert all(len(subset) == 1 for subset in found.values())
    assert found["InP", BULK] == {TRAIN}
    assert Counter(next(iter(s)) for key, s in found.items() if key != ("InP", BULK)) == {
        TRAIN: 4,
        VALIDATION: 1,
        TEST: 1,
    }


def test_by_relaxation_is_stratified_by_defect() -> None:
    rows = Rows().add("CdTe", BULK)
    for host in ("CdTe", "CdSe"):
        rows.add(host, "v_Cd", starts=15).add(host, "v_Cd", starts=15, method="HSE06")
    subsets = split(rows.rows, SplitSettings(by="relaxation", train=0.8, validation=0.2, test=0.0))
    starts = groups(rows.rows, subsets, "start")
    assert all(len(found) == 1 for found in starts.values())
    for host in ("CdTe", "CdSe"):
        held_out = [key for key, found in starts.items() if key[0] == host and found == {VALIDATION}]  # type: ignore[index]
        assert len(held_out) == 3
    assert TEST not in subsets.values()


def test_by_relaxation_fills_small_shares() -> None:
    rows = Rows().add("CdTe", "v_Cd", starts=3).add("CdTe", "v_Te", starts=1)
    subsets = split(rows.rows, SplitSettings(by="relaxation"))
    assert set(subsets.values()) == set(SUBSETS)
    with pytest.raises(DatasetError, match=r"2 relaxations of 1 defect.*--by random"):
        split(Rows().add("CdTe", "v_Cd", starts=2).rows, SplitSettings(by="relaxation"))


def test_random_counts_frames() -> None:
    rows = Rows().add("CdTe", "v_Cd", starts=10, steps=10).rows
    counts = Counter(split(rows, SplitSettings(by="random")).values())
    assert counts == {TRAIN: 68, VALIDATION: 5, TEST: 27}
    with pytest.raises(DatasetError, match="too few"):
        split(rows[:3], SplitSettings(by="random"))


def listed() -> Sequence[IndexRow]:
    rows = Rows()
    for host in ("CdTe", "InP"):
        rows.add(host, BULK, starts=1)
    rows.add("CdTe", "v_Cd").add("CdTe", "v_Cd", -1).add("InP", "iIn").add("InP", "vv")
    return rows.rows


def test_host_list() -> None:
    rows = listed()
    subsets = split(
        rows,
        SplitSettings(
            by="host-list",
            test_hosts=("CdTe", "InP/iIn"),
            validation_hosts=("CdTe/v_Cd_-1",),
            augment_validation=0.0,
        ),
    )
    by_name = {str(row.origin.defect_id): subsets[row.row] for row in rows}
    assert by_name == {
        "CdTe bulk": TEST,
        "CdTe v_Cd_0": TEST,
        "CdTe v_Cd_-1": VALIDATION,
        "InP bulk": TRAIN,
        "InP iIn_0": TEST,
        "InP vv_0": TRAIN,
    }


def test_host_list_without_validation_gets_it_from_training() -> None:
    subsets = split(listed(), SplitSettings(by="host-list", test_hosts=("InP/iIn",), augment_validation=0.2))
    assert set(subsets.values()) == set(SUBSETS)


def test_wrong_lists() -> None:
    with pytest.raises(DatasetError, match=r"GaAs.*CdTe \(bulk, v_Cd\); InP \(bulk, iIn, vv\)"):
        split(listed(), SplitSettings(by="host-list", test_hosts=("GaAs",)))
    with pytest.raises(SettingsError, match="needs hosts"):
        split(listed(), SplitSettings(by="host-list"))
    with pytest.raises(SettingsError, match="in one of them"):
        split(listed(), SplitSettings(by="host-list", test_hosts=("InP",), validation_hosts=("InP",)))
    with pytest.raises(DatasetError, match="nothing is left"):
        split(listed(), SplitSettings(by="host-list", test_hosts=("InP", "CdTe")))


def test_too_few_hosts_says_how_many_and_what_to_do() -> None:
    with pytest.raises(DatasetError, match=r"at least 3 hosts.*are 2 hosts.*--by relaxation"):
        split(listed(), SplitSettings())
    with pytest.raises(DatasetError, match=r"is 1 defect\."):
        split(Rows().add("CdTe", "v_Cd").rows, SplitSettings(by="defect"))
    with pytest.raises(DatasetError, match="no selected frame"):
        split(Rows().add("CdTe", "v_Cd", selected=False).rows, SplitSettings())


def test_shares_must_add_up() -> None:
    with pytest.raises(SettingsError, match=r"add up to 0\.95"):
        split(paper_like(), SplitSettings(test=0.22))
    with pytest.raises(SettingsError, match="train = 0"):
        split(paper_like(), SplitSettings(train=0.0, test=0.95))


def test_an_empty_test_set_is_allowed() -> None:
    subsets = split(paper_like(), SplitSettings(train=0.9, validation=0.1, test=0.0))
    assert set(subsets.values()) == {TRAIN, VALIDATION}


def test_default_split() -> None:
    assert default_split(paper_like()).settings == SplitSettings()
    four = Rows()
    for name in ("v_In", "v_P", "In_P", "P_In"):
        four.add("InP", name)
    choice = default_split(four.rows)
    assert choice.settings.by == "defect"
    assert set(split(four.rows, choice.settings).values()) == set(SUBSETS)
    choice = default_split(Rows().add("CdTe", "v_Cd", -1).add("CdTe", "v_Cd", starts=15).rows)
    assert (choice.settings.by, choice.settings.test) == ("relaxation", 0.0)
    assert "1 defect" in choice.sentence


@st.composite
def indices(draw: st.DrawFn) -> Sequence[IndexRow]:
    rows = Rows()
    for host in draw(st.lists(st.sampled_from(PAPER_LIKE), min_size=4, max_size=9, unique=True)):
        for defect in draw(st.lists(st.sampled_from(["a", "b", "c", BULK]), min_size=1, max_size=4, unique=True)):
            for charge in [0] if defect == BULK else draw(st.sampled_from([[0], [0, -1]])):
                rows.add(host, defect, charge, starts=draw(st.integers(1, 3)), steps=2, selected=draw(st.booleans()))
    return rows.rows


@settings(max_examples=40, deadline=None)
@given(indices(), st.sampled_from(["composition", "defect", "relaxation", "random"]), st.integers(0, 3), st.randoms())
def test_every_split(rows: Sequence[IndexRow], by: str, seed: int, shuffler: random.Random) -> None:
    chosen = SplitSettings(
        by=by,
        train=0.6,
        validation=0.2,
        test=0.2,
        augment_validation=0.0,
        seed=seed,  # type: ignore[arg-type]
    )
    try:
        subsets = split(rows, chosen)
    except DatasetError:
        with_defects = [row.origin for row in rows if row.selected and not row.origin.is_bulk]
        too_few = {
            "composition": len({origin.host for origin in with_defects}) < 3,
            "defect": len({(origin.host, origin.defect) for origin in with_defects}) < 3,
            "relaxation": len({origin.relaxation for origin in with_defects})
            < 2 + len({origin.defect_id for origin in with_defects}),
            "random": sum(row.selected for row in rows) < 5,
        }
        assert too_few[by]
        return
    assert set(subsets) == {row.row for row in rows if row.selected}
    assert set(subsets.values()) == set(SUBSETS)
    together = {"composition": "host", "defect": "defect", "relaxation": "start"}.get(by)
    if together:
        assert all(len(found) == 1 for found in groups(rows, subsets, together).values())
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert split(shuffled, chosen) == subsets
