"""Serving a report that follows its campaign, over real sockets."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from defectscout.core.errors import SettingsError
from defectscout.reporting.report.live import LiveReport, version_of
from defectscout.reporting.report.serve import ReportServer
from defectscout.workflow.campaign import RECORD_NAME, reopen_campaign
from reporting import searched_crystal
from reporting.searched_crystal import PAIRED, begin, finish_all, relax


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write(folder / "MgS.cif", bulk("MgS", "rocksalt", a=5.8))
    return begin(folder / "MgS.cif", folder / "campaign")


@pytest.fixture
def campaign(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "campaign"))


class Clock:
    """A time that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def served(*folders: Path, clock: Callable[[], float] | None = None) -> Iterator[ReportServer]:
    live = LiveReport(folders) if clock is None else LiveReport(folders, clock=clock)
    with ReportServer(live) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(
    server: ReportServer, path: str = "/", method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    headers = {} if host is None else {"Host": host}
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def progress(server: ReportServer) -> dict[str, object]:
    code, _, body = ask(server, "/progress.json")
    assert code == 200
    found: dict[str, object] = json.loads(body)
    return found


def test_the_report_is_at_the_root_and_its_progress_beside_it(campaign: Path) -> None:
    with served(campaign) as server:
        assert server.url == f"http://127.0.0.1:{server.server_port}/"
        code, headers, body = ask(server)
        assert code == 200
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert "MgS" in body
        assert "/progress.json" in body
        told = progress(server)
        assert set(told) == {"version", "finished", "lines"}
        assert told["finished"] is False
        assert "v_Mg_0 in MgS has not ended: it waits for 3 reference relaxations" in str(told["lines"])


def test_it_follows_a_campaign_that_goes_on(campaign: Path) -> None:
    clock = Clock()
    with served(campaign, clock=clock) as server:
        first, page = progress(server), ask(server)[2]
        assert "No minimum on the reference" in page
        relax(campaign, PAIRED, -1.0)
        clock.now += 1000
        second = progress(server)
        assert second["version"] != first["version"]
        assert "waits for 2 reference relaxations; force calls: 1 reference" in str(second["lines"])
        assert "Lowest minimum so far" in ask(server)[2]
        finish_all(campaign)
        clock.now += 1000
        assert progress(server)["finished"] is True
        assert "Lowest minimum so far" not in ask(server)[2]


def test_an_unchanged_campaign_is_read_once(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from defectscout.reporting.report import live

    calls = []
    original = live.build_report
    monkeypatch.setattr(live, "build_report", lambda *given: calls.append(given) or original(*given))
    with served(campaign) as server:
        pages = {ask(server)[2] for _ in range(3)}
    assert len(pages) == 1
    assert len(calls) == 1


def test_a_search_that_runs_is_not_read_at_every_step(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from defectscout.reporting.report import live

    calls = []
    original = live.read_subject
    monkeypatch.setattr(live, "read_subject", lambda *given: calls.append(given) or original(*given))
    clock = Clock()
    with served(campaign, clock=clock) as server:
        progress(server)
        relax(campaign, PAIRED, -1.0, finish=False)
        progress(server)
        relax(campaign, "Unperturbed", 0.0)
        progress(server)
        assert len(calls) == 1
        clock.now += 1000
        progress(server)
        assert len(calls) == 2


def test_a_running_search_can_be_watched_and_is_left_alone(campaign: Path) -> None:
    with reopen_campaign(campaign) as running, served(campaign) as server:
        before = version_of([campaign])
        assert ask(server)[0] == 200
        assert version_of([campaign]) == before
        (task,) = [task for task in running.record.tasks("reference") if task.key.label == PAIRED]
        searched_crystal.write_step(running.record, task.key, task.start, -1.0)
        assert ask(server)[0] == 200
        assert version_of([campaign]) != before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:80", "[::1]:8000"])
def test_loopback_names_are_answered(campaign: Path, host: str) -> None:
    with served(campaign) as server:
        assert ask(server, "/progress.json", host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "evil.example:127", "", "192.168.0.1"])
@pytest.mark.parametrize("path", ["/", "/progress.json"])
def test_other_names_are_refused(campaign: Path, host: str, path: str) -> None:
    with served(campaign) as server:
        code, _, body = ask(server, path, host=host)
        assert code == 403
        assert "MgS" not in body


@pytest.mark.parametrize("path", ["/campaign.db", "/../campaign.db", "/%2e%2e/campaign.db", "/progress.json/", "/x"])
def test_nothing_else_is_served(campaign: Path, path: str) -> None:
    with served(campaign) as server:
        assert ask(server, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_changed(campaign: Path, method: str) -> None:
    with served(campaign) as server:
        code, headers, _ = ask(server, method=method)
        assert code == 405
        assert headers["allow"] == "GET, HEAD"


def test_head_tells_what_get_would_say(campaign: Path) -> None:
    with served(campaign) as server:
        _, headers, body = ask(server)
        code, same, nothing = ask(server, method="HEAD")
        assert (code, nothing) == (200, "")
        assert same["content-length"] == headers["content-length"] == str(len(body.encode()))


@pytest.mark.parametrize("path", ["/", "/progress.json", "/missing"])
def test_browsers_are_told_to_be_careful(campaign: Path, path: str) -> None:
    with served(campaign) as server:
        _, headers, _ = ask(server, path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert headers["server"].strip() == "defectscout"


def test_it_listens_on_the_loopback_interface_alone(campaign: Path) -> None:
    with ReportServer(LiveReport([campaign])) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_report_that_cannot_be_built_says_why_and_comes_back(campaign: Path) -> None:
    clock = Clock()
    record, away = campaign / RECORD_NAME, campaign / "elsewhere.db"
    record.rename(away)
    with served(campaign, clock=clock) as server:
        code, _, body = ask(server)
        assert code == 200
        assert "holds no campaign" in body
        assert 'http-equiv="refresh"' in body
        told = progress(server)
        assert told["finished"] is False
        assert "holds no campaign" in str(told["lines"])
        away.rename(record)
        clock.now += 1000
        assert "MgS" in ask(server)[2]


def test_what_a_message_says_is_no_markup(tmp_path: Path) -> None:
    folder = tmp_path / "<b>campaign"
    folder.mkdir()
    with served(folder) as server:
        body = ask(server)[2]
        assert "&lt;b&gt;campaign" in body
        assert "<b>" not in body


def test_a_fault_is_an_answer_and_not_the_end(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from defectscout.reporting.report import live

    with monkeypatch.context() as patch, served(campaign) as server:
        patch.setattr(live, "html_report", lambda *given, **named: 1 / 0)
        assert ask(server)[0] == 500
        patch.undo()
        assert ask(server)[0] == 200


def test_a_port_that_is_taken_is_an_error(campaign: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"Cannot serve on port {port}"):
            ReportServer(LiveReport([campaign]), port)


def test_the_last_line_of_the_log_tells_where_the_search_stands(campaign: Path) -> None:
    lines = (
        "2026-01-01 00:00:00,000 INFO v_Mg_0 round 2: asks for a single point",
        "2026-01-01 00:00:00,000 INFO stage asking begins, 401 units",
        "2026-01-01 00:00:00,000 DEBUG asking 0.40 v_Mg_0/Dimer, step 7, 0.31 eV/Å",
        "Traceback of something",
        "2026-01-01 00:00:01,000 DEBUG half a li",
    )
    with (campaign / "defectscout.log").open("a") as log:
        log.write("\n".join(lines))
    with served(campaign) as server:
        told = str(progress(server)["lines"])
    assert "v_Mg_0 round 2: asks for a single point; v_Mg_0/Dimer, step 7, 0.31 eV/Å (" in told
    assert "stage" not in told


def test_versions_change_with_the_record_alone(campaign: Path) -> None:
    before = version_of([campaign])
    (campaign / "report.html").write_text("new")
    assert version_of([campaign]) == before
    (campaign / f"{RECORD_NAME}-wal").write_bytes(b"more")
    assert version_of([campaign]) != before
