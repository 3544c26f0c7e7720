"""`inputs`, `collect` and `restart` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from defectscout.cli.main import app
from workflow.vasp_stand_in import StandIn

RUNNER = CliRunner()


@pytest.mark.parametrize("command", ["inputs", "collect", "restart"])
def test_no_campaign(command: str, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, [command, str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "no campaign" in " ".join(result.output.split())


def test_write_collect_restart(model_host: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    begun = RUNNER.invoke(
        app,
        ["search", str(model_host), "--defect", "v_Mg", "--charge", "0", "--reference", "none", "--reference-only",
         "--sampling", "none", "-o", str(out)],
    )  # fmt: skip
    assert begun.exit_code == 0, begun.output
    job = tmp_path / "job.sh"
    job.write_text("#!/bin/sh\necho {name}\n")
    written = RUNNER.invoke(app, ["inputs", str(out), "--preset", "pbe", "--job", str(job), "-q"])
    assert written.exit_code == 0, written.output
    folder = out / "inputs" / "v_Mg_0" / "Unperturbed"
    assert str(folder) in written.stdout
    assert "v_Mg_0_Unperturbed" in (folder / "job.sh").read_text()

    StandIn(steps=2).run(folder)
    collected = RUNNER.invoke(app, ["collect", str(out)])
    assert collected.exit_code == 0, collected.output
    said = " ".join(collected.output.split())
    assert "v_Mg_0/Unperturbed: unfinished; 2 ionic steps" in said
    restarted = RUNNER.invoke(app, ["restart", str(out), "-q"])
    assert restarted.stdout.split() == [str(folder)]
    StandIn().run(folder)
    finished = RUNNER.invoke(app, ["collect", str(out), "--json", "-q"])
    assert finished.exit_code == 0, finished.output
    (minimum,) = json.loads(finished.stdout)["defects"]["v_Mg_0"]["minima"]
    assert minimum["converged"]

    refused = RUNNER.invoke(app, ["inputs", str(out), "--preset", "paper"])
    assert refused.exit_code == 2
    assert "energies of two methods" in " ".join(refused.output.split())
