"""Which stored model is offered for a new host, and which frames are learned from again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Structure

from defectscout.core.defect import charge_text
from defectscout.learning.frames import BULK, LabelledFrame
from defectscout.workflow.nearest import best_offer, nearest, resolve_nearest, same_structure_type
from defectscout.workflow.reused_frames import reused_frames, shares
from defectscout.workflow.store import StoredModel, keep, stored_models
from listening import Listening
from stored_models import chalcopyrite, frames_of, model_folder, rocksalt, wurtzite, zincblende

GFN1 = "gfn1-xtb"


class Keeper:
    """Puts models into a store of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"

    def __call__(
        self,
        host: Structure,
        charge: int = 0,
        frames: list[LabelledFrame] | None = None,
        *,
        hosts: tuple[str, ...] = (),
        **given: object,
    ) -> StoredModel:
        formula = str(host.composition.reduced_formula)
        number = len(list(self.folder.iterdir()))
        model = model_folder(self.folder / f"model-{number}", hosts or (formula,), charges=(charge,), **given)  # type: ignore[arg-type]
        return keep(model, frames, host, [f"v_Cd_{charge_text(charge)}"], charge, self.folder, self.store)

    @property
    def models(self) -> tuple[StoredModel, ...]:
        return stored_models(self.store)


@pytest.fixture
def stock(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


def test_structure_types_do_not_depend_on_elements_and_volume() -> None:
    zb = zincblende("Cd", "Te")
    assert same_structure_type(zb, zincblende("Zn", "S", 5.4))
    assert same_structure_type(zb, zincblende("Te", "Cd"))
    assert not same_structure_type(zb, rocksalt("Cd", "Te"))
    assert not same_structure_type(zb, wurtzite("Cd", "Te"))
    assert not same_structure_type(zb, chalcopyrite("Ga", "Cu", "S"))
    assert same_structure_type(chalcopyrite("Ga", "Cu", "S"), chalcopyrite("In", "Ag", "S"))


def test_large_cells_are_compared_by_their_space_group() -> None:
    cell = zincblende("Cd", "Te") * (4, 4, 4)
    assert same_structure_type(cell, zincblende("Zn", "S") * (4, 4, 4))
    assert not same_structure_type(cell, rocksalt("Zn", "S") * (4, 4, 4))


def test_nearest_composition_first_then_structure_then_frames(stock: Keeper) -> None:
    few = stock(zincblende("Cd", "Te"), frames=frames_of("CdTe", steps=2))
    wz = stock(wurtzite("Cd", "Te"), frames=frames_of("CdTe", steps=9))
    many = stock(zincblende("Cd", "Te"), frames=frames_of("CdTe", steps=5))
    mgo = stock(rocksalt("Mg", "O"))
    zns = stock(zincblende("Zn", "S"))
    offers = nearest(stock.models, zincblende("Cd", "Te"), 0, GFN1)
    assert [offer.model.name for offer in offers] == [many.name, few.name, wz.name, zns.name, mgo.name]
    assert all(offer.is_offered for offer in offers)
    assert [offer.same_structure for offer in offers] == [True, True, False, True, False]
    assert offers[0].distance == 0
    assert offers[3].new_elements == ("Cd", "Te")


def test_the_sentence_tells_a_scientist(stock: Keeper) -> None:
    stock(zincblende("Cd", "Te"), frames=frames_of("CdTe"))
    offer = best_offer(stock.models, zincblende("Cd", "Se"), 0, GFN1)
    assert offer is not None
    assert offer.sentence == (
        "CdTe-gfn1-xtb-q0-1 was tuned on v_Cd of CdTe (10 frames, gfn1-xtb, charge 0): "
        "the same structure type, Se in place of Te (same group)"
    )
    again = best_offer(stock.models, zincblende("Cd", "Te"), 0, GFN1)
    assert again is not None
    assert again.sentence.endswith(": the same composition, the same structure type")
    kin = best_offer(stock.models, rocksalt("Mg", "Te"), 0, GFN1)
    assert kin is not None
    assert kin.sentence.endswith(": another structure type, Mg in place of Cd (as many valence electrons)")


@pytest.mark.parametrize(
    ("new", "offered"),
    [
        (chalcopyrite("In", "Ag", "S"), True),
        (chalcopyrite("Ga", "Cu", "Te"), True),
        (zincblende("Cd", "Te"), False),
        (zincblende("Ga", "As"), False),
        (zincblende("Cu", "Cl"), False),
    ],
)
def test_hosts_of_another_family_are_not_offered(stock: Keeper, new: Structure, offered: bool) -> None:
    stock(chalcopyrite("Ga", "Cu", "S"))
    (offer,) = nearest(stock.models, new, 0, GFN1)
    assert offer.is_offered is offered
    if not offered:
        assert "another family" in offer.sentence
        assert "I-III-VI2" in offer.sentence
        assert best_offer(stock.models, new, 0, GFN1) is None


def test_an_alloy_between_two_families_that_were_both_seen(stock: Keeper) -> None:
    gan, alloy = wurtzite("Ga", "N", 3.2), wurtzite("Ga", "N", 3.2) * (2, 1, 1)
    alloy.replace(0, "Zn")
    alloy.replace(len(alloy) - 1, "O")
    host = wurtzite("Ga", "N", 3.2) * (2, 1, 1)
    host.replace(0, "Zn")
    host.replace(len(host) - 1, "S")
    stock(alloy, hosts=("GaN", "ZnO"))
    (offer,) = nearest(stock.models, host, 0, GFN1)
    assert not offer.same_family or offer.same_structure
    assert offer.is_offered  # S has O in its group
    stock(gan)
    refused = [o for o in nearest(stock.models, host, 0, GFN1) if not o.is_offered]
    assert [o.model.formula for o in refused] == ["GaN"]


def test_other_references_charges_and_worse_models_are_listed_with_the_reason(stock: Keeper) -> None:
    cdte = zincblende("Cd", "Te")
    stock(cdte, method="HSE06")
    stock(cdte, -1)
    stock(cdte, verdict="worse")
    offers = nearest(stock.models, cdte, 0, GFN1)
    reasons = sorted(offer.against for offer in offers)
    assert len(reasons) == 3
    assert reasons[0].startswith("it did worse")
    assert "charge state (-1, not 0)" in reasons[1]
    assert "reference (HSE06, not gfn1-xtb)" in reasons[2]
    assert best_offer(stock.models, cdte, 0, GFN1) is None
    assert best_offer(stock.models, cdte, -1, GFN1) is not None
    assert best_offer(stock.models, cdte, 0, "HSE06") is not None


def test_a_host_that_cannot_be_read_is_a_reason(stock: Keeper) -> None:
    model = stock(zincblende("Cd", "Te"))
    (model.folder / "host.cif").write_text("nonsense")
    (offer,) = nearest(stock.models, zincblende("Cd", "Te"), 0, GFN1)
    assert "cannot be read" in offer.against


def test_resolving_over_charge_states(stock: Keeper) -> None:
    cdse = zincblende("Cd", "Se")
    assert resolve_nearest(cdse, (0,), GFN1, stock.store) is None
    stock(zincblende("Cd", "Te"), -1)
    stock(zincblende("Cd", "Te"), -2)
    neutral = stock(zincblende("Cd", "Te"))
    near = stock(zincblende("Cd", "Se"), -2)
    broken = stock(zincblende("Zn", "Se"))
    (broken.folder / "entry.json").unlink()

    def resolved(charges: tuple[int, ...]) -> str:
        offer = resolve_nearest(cdse, charges, GFN1, stock.store)
        assert offer is not None
        return offer.model.name

    assert resolved((-1, 0)) == neutral.name
    assert resolved((-2, -1, 0)) == near.name
    assert resolve_nearest(cdse, (1,), GFN1, stock.store) is None
    progress = Listening()
    resolve_nearest(cdse, (0,), GFN1, stock.store, progress)
    assert [broken.name in text for text in progress.warnings] == [True]


def test_frames_of_related_hosts_alone_are_reused(stock: Keeper) -> None:
    mixed = [
        *frames_of("CdTe"), *frames_of("CdTe", charge=-1), *frames_of("CdTe", method="HSE06"),
        *frames_of("CdTe", BULK, starts=("bulk",)), *frames_of("GaAs", "v_Ga"),
    ]  # fmt: skip
    stock(zincblende("Cd", "Te"), frames=mixed)
    stock(zincblende("Zn", "Te"), frames=[*frames_of("ZnTe", "v_Zn"), *frames_of("CdTe")])
    stock(chalcopyrite("Ga", "Cu", "S"), frames=frames_of("GaAs", "v_Ga"))
    found = reused_frames(stock.models, zincblende("Cd", "Te"), 0, GFN1, 1000)
    count = Counter((frame.origin.host, frame.origin.defect, frame.origin.charge) for frame in found)
    # Ten frames of CdTe that both had are taken once.
    assert count == {("CdTe", "v_Cd", 0): 10, ("CdTe", BULK, 0): 5, ("ZnTe", "v_Zn", 0): 10}
    assert {frame.origin.method for frame in found} == {GFN1}
    assert found[0].origin.host == "CdTe"  # the nearest first


def test_a_limit_is_shared_and_spread_over_relaxations(stock: Keeper) -> None:
    stock(zincblende("Cd", "Te"), frames=frames_of("CdTe", starts=("a", "b", "c"), steps=10))
    stock(zincblende("Zn", "Te"), frames=frames_of("ZnTe", "v_Zn", steps=2))
    models, host = stock.models, zincblende("Cd", "Se")
    assert reused_frames(models, host, 0, GFN1, 0) == ()
    found = reused_frames(models, host, 0, GFN1, 13)
    assert Counter(frame.origin.host for frame in found) == {"CdTe": 9, "ZnTe": 4}
    assert Counter(f.origin.start for f in found if f.origin.host == "CdTe") == {"a": 3, "b": 3, "c": 3}
    again = reused_frames(models, host, 0, GFN1, 13)
    assert [frame.origin for frame in again] == [frame.origin for frame in found]
    assert reused_frames(models, host, -1, GFN1, 13) == ()


@given(st.lists(st.integers(0, 50), max_size=6), st.integers(0, 200))
def test_shares(available: list[int], limit: int) -> None:
    taken = shares(available, limit)
    assert sum(taken) == min(limit, sum(available))
    assert all(0 <= got <= there for got, there in zip(taken, available, strict=True))
    # Whoever could give more gives as much as anyone, but for one.
    assert all(got + 1 >= max(taken) for got, there in zip(taken, available, strict=True) if got < there)
