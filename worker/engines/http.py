"""A model server's address: JSON in, JSON out, and every failure told as the query's or as the server's."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from models.errors import UserError
from strategies.protocols import QueryError, TransientError

CONNECT_SECONDS = 10.0
READ_SECONDS = 1800.0
"""A completion arrives in one piece: this is how long the longest one may take."""

KEEPALIVE_SECONDS = 2.0
"""Below the 5 s after which llama.cpp closes an idle connection, so that none is reused while it closes."""

QUERY_STATUS = frozenset({400, 413, 422})
REASON_LENGTH = 300


class Unreachable(TransientError):
    """Nobody listens at the address."""


class Refused(QueryError):
    """The server calls the request wrong (400, 413, 422); `reason` is its own explanation."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Endpoint:
    """An HTTP server that is sent JSON. The key travels in the Authorization header and nowhere else."""

    def __init__(self, url: str, *, key: str | None, connections: int, trust_env: bool = True) -> None:
        """With `trust_env` the environment's proxy is gone through. Needs a running event loop.

        Raises:
            UserError: `url` is no HTTP address.
        """
        try:
            address = urlsplit(url.rstrip("/"))
            host, port = address.hostname, address.port
        except ValueError as error:
            raise UserError(f"url {url!r} is no URL ({error}); write it as http://host:port/v1") from None
        if address.scheme not in ("http", "https") or not host:
            raise UserError(f"url {url!r} is no HTTP address; write it as http://host:port/v1")
        name = f"[{host}]" if ":" in host else host
        self.url = f"{address.scheme}://{name}{f':{port}' if port else ''}{address.path}"
        self._key = key
        # aiohttp: 64 requests at once cost it 0.2 ms each, httpx 3 ms, which is longer than a small model computes.
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEPALIVE_SECONDS),
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=getproxies().get(address.scheme) if trust_env and not proxy_bypass(host) else None,
        )

    @property
    def root(self) -> str:
        """The address without the API version: where tokenisation and health live."""
        return self.url.removesuffix("/v1")

    async def post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """The reply to `body`.

        Raises:
            Refused: the server calls the request itself wrong.
            Unreachable: no connection could be made.
            TransientError: anything else that kept the server from answering.
        """
        status, content = await self._send("POST", url, body)
        if status in QUERY_STATUS:
            reason = self._reason(content)
            raise Refused(f"{url} refused the request ({status}): {reason}", reason)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise TransientError(f"{url} refused the credentials ({status}); check api_key_env")
        if status != HTTPStatus.OK:
            raise TransientError(f"{url} answered {status}: {self._reason(content)}")
        reply = _json_object(content)
        if reply is None:
            raise TransientError(f"{url} answered something that is no JSON object")
        return reply

    async def probe(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The reply, or None where the server does not offer `url`; raises TransientError without an answer."""
        status, content = await self._send(method, url, body)
        return _json_object(content) if status == HTTPStatus.OK else None

    async def close(self) -> None:
        await self._client.close()

    async def _send(self, method: str, url: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        """The reply's status and content."""
        try:
            async with self._client.request(method, url, json=body, allow_redirects=False) as response:
                return response.status, await response.read()
        except aiohttp.ClientConnectorError:
            raise Unreachable(f"nobody answers at {url}; is the server running?") from None
        except TimeoutError as error:
            raise TransientError(f"{url} did not answer in time ({type(error).__name__})") from None
        except aiohttp.ClientError as error:
            raise TransientError(f"the connection to {url} broke ({type(error).__name__})") from None
        except RuntimeError as error:
            raise Unreachable(f"the connection to {url} is closed ({error})") from None

    def _reason(self, content: bytes) -> str:
        reply = _json_object(content) or {}
        error = reply.get("error", reply)
        reason = error.get("message") if isinstance(error, dict) else error
        text = " ".join(str(reason or content.decode(errors="replace") or "no reason given").split())
        if self._key:
            text = text.replace(self._key, "***")
        return text[:REASON_LENGTH]


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        reply = json.loads(content)
    except ValueError:
        return None
    return reply if isinstance(reply, dict) else None
