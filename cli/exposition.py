"""Metrics over HTTP: on this machine for whoever asks, beyond it only behind a login."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import os
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from models.errors import UserError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LOGIN_VARIABLE = "TTS_METRICS_BASIC_AUTH"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = 10.0

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is nothing to tell."""


class Exposition:
    """A server of `registry` on a thread of its own, from its making to `close`; `port` is where it listens.

    Raises:
        UserError: it would be open to other machines without a login, or the port is taken.
    """

    def __init__(self, registry: CollectorRegistry, address: str, port: int) -> None:
        from prometheus_client import make_wsgi_app

        login = _login(address)
        application: Application = make_wsgi_app(registry)
        if login is not None:
            application = _guarded(application, login)
        try:
            self._server = make_server(address, port, application, _Server, _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"metrics on {address}:{port}: {reason}; choose another --metrics-port or --port") from None
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="tts-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _login(address: str) -> str | None:
    login = os.environ.get(LOGIN_VARIABLE, "")
    user, colon, password = login.partition(":")
    if login and not (user and colon and password):
        raise UserError(f"{LOGIN_VARIABLE}: not a login; set it to USER:PASSWORD")
    if not login and not _is_loopback(address):
        raise UserError(
            f"{LOGIN_VARIABLE}: metrics leave this machine ({address}) only behind a login; set it to USER:PASSWORD"
        )
    return login or None


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _guarded(application: Application, login: str) -> Application:
    expected = b"Basic " + base64.b64encode(login.encode())

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = str(environ.get("HTTP_AUTHORIZATION", "")).encode()
        if hmac.compare_digest(given, expected):
            return application(environ, start_response)
        start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="tts-jobs"'), ("Content-Length", "0")])
        return []

    return guarded
