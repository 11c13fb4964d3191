"""A page in headless Chromium, driven by its DevTools protocol: keys are pressed and points touched as a person would."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.servers import wait_until

KEYS = {"Enter": "\r", " ": " ", "Tab": "\t"}
CODES = {
    "Enter": 13, "Tab": 9, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
    "Home": 36, "End": 35,
}  # fmt: skip


class Page:
    """One tab. `requests` is every address that it asked for, `complaints` whatever it wrote to its console."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._loaded = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())
        self.requests: list[str] = []
        self.complaints: list[str] = []

    async def _listen(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif told["method"] == "Network.requestWillBeSent":
                self.requests.append(told["params"]["request"]["url"])
            elif told["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(told["params"]["exceptionDetails"]))
            elif told["method"] == "Runtime.consoleAPICalled":
                self.complaints.append(str(told["params"]["args"]))
            elif told["method"] == "Log.entryAdded":
                self.complaints.append(told["params"]["entry"]["text"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        told = await asyncio.wait_for(self._answers[number], 120)
        assert "error" not in told, told
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, path: Path, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self._loaded.clear()
        await self.call("Page.navigate", url=path.as_uri())
        await asyncio.wait_for(self._loaded.wait(), 120)

    async def resize(self, width: int, height: int = 800) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to, once the page has drawn."""
        drawn = f"new Promise(done => requestAnimationFrame(() => setTimeout(() => done({expression}))))"
        told = await self.call("Runtime.evaluate", expression=drawn, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def press(self, *keys: str) -> None:
        """Press and release each key; Shift+Tab is "Shift+Tab"."""
        for pressed in keys:
            key = pressed.removeprefix("Shift+")
            code = CODES.get(key, ord(key[0].upper()))
            text = KEYS.get(key, key if len(key) == 1 else "")
            shared = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * pressed.startswith("Shift+")}
            await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
            await self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    async def point(self, x: float, y: float) -> None:
        await self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


@contextmanager
def chromium(profile: Path) -> Iterator[str]:
    """The address of a browser that ends with the block."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "no Chromium on PATH: apt-get install chromium"
    options = [
        "--headless=new",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--remote-debugging-port=0",
    ]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    command = [program, *options, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            told = profile / "DevToolsActivePort"
            wait_until(lambda: told.exists() and "\n" in told.read_text(), seconds=60, what="Chromium to start")
            yield f"http://127.0.0.1:{told.read_text().splitlines()[0]}"
        finally:
            child.terminate()


@asynccontextmanager
async def first_tab(address: str) -> AsyncIterator[Page]:
    """The tab that a browser starts with."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{address}/json/list") as answer:
            tab = next(one for one in await answer.json() if one["type"] == "page")
        async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            page = Page(socket)
            try:
                yield page
            finally:
                await page.close()
