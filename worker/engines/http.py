"""A model server's address: JSON in, JSON out, and every failure told as the query's or as the server's."""

from __future__ import annotations

from typing import Any

import httpx

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
        try:
            address = httpx.URL(url.rstrip("/"))
        except httpx.InvalidURL as error:
            raise UserError(f"url {url!r} is no URL ({error}); write it as http://host:port/v1") from None
        if address.scheme not in ("http", "https") or not address.host:
            raise UserError(f"url {url!r} is no HTTP address; write it as http://host:port/v1")
        self.url = str(address.copy_with(username=None, password=None, query=None))
        self._key = key
        self._client = httpx.AsyncClient(
            auth=(address.username, address.password) if address.username else None,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEPALIVE_SECONDS
            ),
            trust_env=trust_env,
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
        response = await self._send("POST", url, body)
        if response.status_code in QUERY_STATUS:
            reason = self._reason(response)
            raise Refused(f"{url} refused the request ({response.status_code}): {reason}", reason)
        if response.status_code in (401, 403):
            raise TransientError(f"{url} refused the credentials ({response.status_code}); check api_key_env")
        if response.status_code != httpx.codes.OK:
            raise TransientError(f"{url} answered {response.status_code}: {self._reason(response)}")
        reply = _json_object(response)
        if reply is None:
            raise TransientError(f"{url} answered something that is no JSON object")
        return reply

    async def probe(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The reply, or None where the server does not offer `url`; raises TransientError without an answer."""
        response = await self._send(method, url, body)
        return _json_object(response) if response.status_code == httpx.codes.OK else None

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, method: str, url: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            return await self._client.request(method, url, json=body)
        except httpx.ConnectError:
            raise Unreachable(f"nobody answers at {url}; is the server running?") from None
        except httpx.TimeoutException as error:
            raise TransientError(f"{url} did not answer in time ({type(error).__name__})") from None
        except httpx.TransportError as error:
            raise TransientError(f"the connection to {url} broke ({type(error).__name__})") from None
        except RuntimeError as error:
            raise Unreachable(f"the connection to {url} is closed ({error})") from None

    def _reason(self, response: httpx.Response) -> str:
        reply = _json_object(response) or {}
        error = reply.get("error", reply)
        reason = error.get("message") if isinstance(error, dict) else error
        text = " ".join(str(reason or response.text or response.reason_phrase).split())
        if self._key:
            text = text.replace(self._key, "***")
        return text[:REASON_LENGTH]


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        reply = response.json()
    except ValueError:
        return None
    return reply if isinstance(reply, dict) else None
