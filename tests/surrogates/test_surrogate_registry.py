"""Surrogates by name."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from defectscout.core.errors import (
    MissingExtraError,
    ModelFileError,
    SettingsError,
    UnknownMethodError,
    UnsupportedElementError,
)
from defectscout.surrogates import registry
from defectscout.surrogates.base import Surrogate, SurrogateInfo
from defectscout.surrogates.device import structures_at_once, torch_device
from defectscout.surrogates.registry import available_surrogates, check_elements, load_surrogate
from defectscout.surrogates.settings import SurrogateSettings


def test_available() -> None:
    assert {"7net-0", "7net-l3i5", "ase", "chgnet", "m3gnet", "mace", "tensornet"} <= set(available_surrogates())
    assert list(available_surrogates()) == sorted(available_surrogates())


def test_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UnknownMethodError, match=r"no surrogate called 'chgnett'.*Did you mean 'chgnet'.*7net-0"):
        load_surrogate(SurrogateSettings(name="chgnett"))
    with pytest.raises(UnknownMethodError, match=r"no surrogate called 'zzz:x'\. There are: 7net, 7net-0"):
        load_surrogate(SurrogateSettings(name="zzz:x"))


def test_default_is_a_surrogate() -> None:
    surrogate = load_surrogate(SurrogateSettings())
    assert isinstance(surrogate, Surrogate)
    assert surrogate.info.name == "chgnet"


def test_case_of_the_family_does_not_matter() -> None:
    assert load_surrogate(SurrogateSettings(name="CHGNet")).info.name == "CHGNet"


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("7net-0", "sevenn", "sevennet"),
        ("m3gnet", "matgl", "m3gnet"),
        ("tensornet:x", "matgl", "m3gnet"),
        ("mace:medium", "mace", "mace"),
    ],
)
def test_missing_package(monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str) -> None:
    for loaded in [known for known in sys.modules if known.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"defectscout\[{extra}\]"):
        load_surrogate(SurrogateSettings(name=name))


def test_broken_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("other", "no_such_package.adapter:load", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    with pytest.raises(UnknownMethodError, match=r"no_such_package\.adapter:load cannot be imported"):
        load_surrogate(SurrogateSettings(name="other"))


def test_missing_file() -> None:
    with pytest.raises(ModelFileError, match=r"'/no/such\.pth' does not exist"):
        load_surrogate(SurrogateSettings(name="chgnet:/no/such.pth"))


def test_check_elements() -> None:
    info = SurrogateInfo("some", "some 1", "1", "", frozenset({"Cd", "Te"}))
    check_elements(info, ["Cd", "Te", "Cd"])
    with pytest.raises(UnsupportedElementError, match=r"some was not trained on Po, Zn \(it knows 2 elements\)"):
        check_elements(info, ["Zn", "Cd", "Po"])
    check_elements(SurrogateInfo("some", "some 1", "1", "", None), ["Xx"])


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert torch_device(SurrogateSettings()) == "cpu"
    for absent in ("cuda", "mps"):
        with pytest.raises(SettingsError, match=f"surrogate.device = '{absent}'"):
            torch_device(SurrogateSettings(device=absent))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert torch_device(SurrogateSettings()) == "cuda"
    assert torch_device(SurrogateSettings(device="cpu")) == "cpu"


def test_batches_are_for_gpus() -> None:
    settings = SurrogateSettings(batch_size=12)
    assert structures_at_once(settings, "cuda") == 12
    assert structures_at_once(settings, "cpu") == 1


def test_loading_says_nothing(capfd: pytest.CaptureFixture[str], rattled) -> None:
    load_surrogate(SurrogateSettings(name="chgnet")).predict([rattled])
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
