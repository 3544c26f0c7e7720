"""Figures and tables of errors: drawn from any data, with the data beside them."""

from __future__ import annotations

import builtins
import csv
import io
import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from rich.console import Console

from defectscout.core.errors import InputFileError, MissingExtraError, SettingsError
from defectscout.core.frames import Prediction
from defectscout.evaluation.bootstrap import Bootstrap
from defectscout.evaluation.errors import ErrorAccumulator
from defectscout.evaluation.force_sample import ForceSampler
from defectscout.evaluation.metrics import error_table
from defectscout.learning.frames import FrameOrigin, LabelledFrame
from defectscout.reporting.evaluation_figures import draw_evaluation
from defectscout.reporting.evaluation_tables import evaluation_to_json, evaluation_view, short_names, write_evaluation
from defectscout.reporting.figure_style import COLOURS, MARKERS, marks
from defectscout.reporting.learning_curves import draw_learning_curves, read_training_log
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.evaluate import EvaluationResult, SurrogateEvaluation


def evaluation(name: str, error: float, n_defects: int = 3, n_frames: int = 6) -> SurrogateEvaluation:
    generator = np.random.default_rng(1)
    accumulator, sampler = ErrorAccumulator(), ForceSampler()
    for index in range(n_defects * n_frames):
        atoms = Atoms("NaCl", cell=[9, 9, 9], pbc=True)
        defect = "bulk" if index >= (n_defects - 1) * n_frames else f"v_{index // n_frames}"
        origin = FrameOrigin("AB", defect, 0, f"start {index % 2}", index, "model", "here")
        labels = Prediction(float(generator.normal()), generator.normal(size=(2, 3)), generator.normal(size=6))
        frame = LabelledFrame(atoms, labels, origin)
        assert labels.stress is not None
        guess = Prediction(labels.energy + error * generator.normal(), labels.forces + error, labels.stress + error)
        if accumulator.add(frame, guess):
            sampler.add(frame, guess)
    errors = accumulator.result()
    info = SurrogateInfo(name, "none 1.0", "abc", "", None)
    return SurrogateEvaluation(info, errors, error_table(errors, Bootstrap(50)), sampler.result(), 1.0)


def test_figures_and_their_data_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    both = {"chgnet": evaluation("chgnet", 0.5), "/a/tuned": evaluation("/a/tuned", 0.1)}
    written = draw_evaluation(both, tmp_path / "new")
    assert {path.name for path in written} == {"parity.png", "errors.png", "violins.png", "frames.csv", "forces.csv"}
    for path in written[:3]:
        assert path.read_bytes().startswith(b"\x89PNG")
    frames = list(csv.DictReader(written[3].open()))
    assert len(frames) == 2 * 18
    first = both["chgnet"].errors
    assert float(frames[0]["energy_surrogate_eV"]) == pytest.approx(first.energy_predicted[0])
    forces = list(csv.DictReader(written[4].open()))
    assert len(forces) == 2 * 36
    assert float(forces[0]["surrogate_x_eV_per_A"]) - float(forces[0]["reference_x_eV_per_A"]) == pytest.approx(0.5)


@pytest.mark.parametrize(("n_defects", "n_frames"), [(1, 1), (2, 1), (30, 2)])
def test_few_frames_and_many_defects_can_be_drawn(n_defects: int, n_frames: int, tmp_path: Path) -> None:
    """One pristine frame alone; one frame of one defect, without relative energies; more defects than colours."""
    pytest.importorskip("matplotlib")
    draw_evaluation({"one": evaluation("one", 0.2, n_defects, n_frames)}, tmp_path, ".svg")
    assert (tmp_path / "parity.svg").read_text().rstrip().endswith("</svg>")


def test_a_figure_repeats_byte_for_byte(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for folder in ("first", "second"):
        draw_evaluation({"one": evaluation("one", 0.2)}, tmp_path / folder, ".svg")
    assert (tmp_path / "first" / "errors.svg").read_bytes() == (tmp_path / "second" / "errors.svg").read_bytes()


def test_unknown_suffix_and_unwritable_folder_are_said(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(SettingsError, match=r"\.png"):
        draw_evaluation({"one": evaluation("one", 0.2)}, tmp_path, ".bmp")
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="Cannot write"):
        draw_evaluation({"one": evaluation("one", 0.2)}, tmp_path / "file")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine: Callable[..., Any] = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return genuine(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"defectscout\[report\]"):
        draw_evaluation({"one": evaluation("one", 0.2)}, tmp_path)


def test_neighbouring_colours_differ_in_lightness() -> None:
    """So that they stay apart in print without colour (WCAG's relative luminance)."""

    def lightness(colour: str) -> float:
        channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        luminance = float(linear @ [0.2126, 0.7152, 0.0722])
        return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance

    steps = [abs(lightness(a) - lightness(b)) for a, b in pairwise(COLOURS[:4])]
    assert min(steps) > 15
    many = marks([str(index) for index in range(len(COLOURS) * len(MARKERS))])
    assert len({tuple(style.values()) for style in many.values()}) == len(COLOURS) * len(MARKERS)


def result_of(evaluations: dict[str, SurrogateEvaluation]) -> EvaluationResult:
    return EvaluationResult(Path("data.db"), "sha256:0", "test", 18, evaluations)


def test_table_shows_every_surrogate_and_number() -> None:
    text = io.StringIO()
    result = result_of({"chgnet": evaluation("chgnet", 0.5), "m3gnet:/a/b/tuned": evaluation("tuned", 0.1)})
    Console(file=text, width=130).print(evaluation_view(result))
    for words in ("data.db, test set", "m3gnet:tuned", "low ΔE", "by host", "v_1", "pristine"):
        assert words in text.getvalue()
    value = result.evaluations["chgnet"].table.overall.force.mae.value
    assert f"{value:.0f}" in text.getvalue()


def test_names_stay_apart() -> None:
    one = evaluation("one", 0.1, 2, 2)
    assert list(short_names({"/a/tuned/": one, "chgnet": one})) == ["tuned", "chgnet"]
    assert list(short_names({"/a/tuned": one, "/b/tuned": one})) == ["/a/tuned", "/b/tuned"]
    assert list(short_names({"ase:/x/model.py:surrogate": one})) == ["ase:model.py:surrogate"]


def test_files_hold_what_was_measured(tmp_path: Path) -> None:
    result = result_of({"chgnet": evaluation("chgnet", 0.5, 2, 1)})  # one frame: no relative energies
    write_evaluation(result, tmp_path)
    stored = json.loads((tmp_path / "evaluation.json").read_text())
    assert stored == evaluation_to_json(result)
    overall = stored["surrogates"][0]["overall"]
    assert overall["relative_mae_eV"] == {"value": None, "low": None, "high": None}
    expected = result.evaluations["chgnet"].table.overall.energy.mae.value
    assert overall["energy_mae_meV_per_atom"]["value"] == expected
    lines = list(csv.DictReader((tmp_path / "evaluation.csv").open()))
    assert [line["level"] for line in lines] == ["overall", "bulk", "host", "defect"]
    assert float(lines[0]["energy_mae_meV_per_atom"]) == pytest.approx(expected, rel=1e-6)
    assert lines[0]["relative_mae_eV"] == ""


LOG = """epoch,learning_rate,train_loss,val_loss,val_energy_mae,val_spearman
0,0,nan,0.9,0.05,
1,0.0005,0.8,0.4,0.03,0.2
2,0.0004,0.5,0.6,0.04,0.1
"""


def test_learning_curves_are_read_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "metrics.csv").write_text(LOG)
    log = read_training_log(tmp_path)
    assert log.epochs.tolist() == [0, 1, 2]
    assert math.isnan(log.columns["val_spearman"][0])
    assert log.columns["val_loss"].tolist() == [0.9, 0.4, 0.6]
    path = draw_learning_curves({"one": log, "two": log}, tmp_path / "curves.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_lines_of_one_epoch_are_joined(tmp_path: Path) -> None:
    """Loggers write training and validation of an epoch on two lines."""
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,train_loss,val_loss\n1,,0.4\n1,0.8,\n")
    log = read_training_log(path)
    assert (log.columns["train_loss"][0], log.columns["val_loss"][0]) == (0.8, 0.4)


@pytest.mark.parametrize(("text", "words"), [("", "no lines"), ("a,b\n1,2\n", "epoch"), ("epoch,x\n1,y\n", "line 2")])
def test_what_is_no_training_log_is_said(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(InputFileError, match=words):
        read_training_log(path)
    with pytest.raises(InputFileError, match="cannot be read"):
        read_training_log(tmp_path / "none.csv")
