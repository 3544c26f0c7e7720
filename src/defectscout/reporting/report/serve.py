"""Serve a report on this machine alone, while its searches run."""

from __future__ import annotations

import socketserver
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from defectscout.core.errors import SettingsError
from defectscout.reporting.report.live import PROGRESS_PATH, LiveReport

HOST: Final = "127.0.0.1"
"""Nobody else on the network reaches it."""

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Names that a browser may have asked for. Any other is a page elsewhere whose name was made to point here."""

_ALLOWED: Final = "GET, HEAD"

_HEADERS: Final = (
    (
        "Content-Security-Policy",
        # What the page itself forbids comes on top: its own policy names its programs by hash.
        "default-src 'self' 'unsafe-inline' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


class ReportServer(ThreadingHTTPServer):
    """Serves one live report at `/` and its progress at `/progress.json`, and nothing else."""

    daemon_threads = True

    def __init__(self, report: LiveReport, port: int = 0) -> None:
        """Begin to listen.

        Args:
            report: what is served.
            port: of the loopback interface; 0 takes a free one.

        Raises:
            SettingsError: if the port cannot be had.
        """
        self.report = report
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "there is no such port"
            raise SettingsError(
                f"Cannot serve on port {port} of this machine: {reason}. Another program may use it; choose another "
                "one, or leave --port away to take a free one."
            ) from None

    def server_bind(self) -> None:
        """Bind without asking for this machine's name, which may take long and is not needed."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def url(self) -> str:
        """Where the report is."""
        return f"http://{HOST}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    server_version = "defectscout"
    sys_version = ""
    timeout = 30.0

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _refuse(self) -> None:
        self.close_connection = True  # a body that nobody reads may follow
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", "Only GET and HEAD.\n", with_body=True)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _refuse  # noqa: N815

    def _answer(self, with_body: bool) -> None:
        if not _is_loopback(self.headers.get("Host", "")):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "Ask for 127.0.0.1 or localhost.\n", with_body)
            return
        pages: dict[str, tuple[str, Callable[[], str]]] = {
            "/": ("text/html", self.server.report.page),
            PROGRESS_PATH: ("application/json", self.server.report.progress),
        }
        found = pages.get(self.path.partition("?")[0])
        if found is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "There is only the report, at /.\n", with_body)
            return
        kind, make = found
        try:
            text = make()
        except Exception as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{type(error).__name__}: {error}\n", with_body)
            return
        self._send(HTTPStatus.OK, kind, text, with_body)

    def _send(self, code: HTTPStatus, kind: str, text: str, with_body: bool) -> None:
        content = text.encode("utf-8")
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        if code is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", _ALLOWED)
        for name, value in _HEADERS:
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the command."""


def _is_loopback(host: str) -> bool:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower() in LOOPBACK
