"""Headless Chromium by the DevTools protocol over two pipes: no driver, no port, no package."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 60.0  # for an answer, on a machine that does much else


def find() -> str | None:
    """The browser's path, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One process with one tab, which `fresh` empties."""

    def __init__(self, folder: Path) -> None:
        reads, self.to = os.pipe()
        self.of, writes = os.pipe()
        command = [find(), *FLAGS, f"--user-data-dir={folder}", "--window-size=1400,1000", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "bash", *command],
            pass_fds=(reads, writes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(reads)
        os.close(writes)
        self.left, self.number, self.session, self.target = b"", 0, None, None
        self.events: list[dict[str, Any]] = []

    def fresh(self) -> None:
        """A new tab in the place of the last, and nothing heard yet."""
        last, self.session = self.target, None
        self.target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        if last:
            self.call("Target.closeTarget", targetId=last)
        self.session, self.events = session, []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """A command's result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while True:
            answer = self._heard(until)
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _heard(self, until: float) -> dict[str, Any]:
        while b"\0" not in self.left:
            ready, _, _ = select.select([self.of], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self.of, 1 << 20)
            assert more, f"the browser ended: {self.process.poll()}"
            self.left += more
        first, self.left = self.left.split(b"\0", 1)
        return json.loads(first)

    def go(self, address: str) -> None:
        """Opens an address and waits until it is loaded."""
        seen = len(self.events)
        self.call("Page.navigate", url=address)
        until = time.monotonic() + SECONDS
        while not any(event["method"] == "Page.loadEventFired" for event in self.events[seen:]):
            self.events.append(self._heard(until))

    def value(self, script: str) -> Any:
        """What a script in the page gives."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = SECONDS) -> Any:
        """The first true value of a script."""
        until = time.monotonic() + seconds
        while not (found := self.value(script)):
            assert time.monotonic() < until, f"waited in vain for {script}; the page says {self.text()[:3000]!r}"
            time.sleep(0.1)
        return found

    def text(self) -> str:
        """All that the page says."""
        return str(self.value("document.body.innerText"))

    def click(self, element: str) -> None:
        """Clicks the middle of the element that a script gives, by the mouse."""
        place = self.wait_for(
            f"(() => {{ const e = {element}; if (!e) return null; e.scrollIntoView({{block: 'center'}});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button=button, clickCount=1)

    def requests(self) -> list[str]:
        """Addresses that were asked for, but those that hold their own data."""
        sent = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith(("data:", "blob:"))]

    def complaints(self) -> list[str]:
        """Errors in the console."""
        found = [e["params"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        for event in self.events:
            kind, params = event["method"], event.get("params", {})
            if kind == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
                found.append(params["args"])
            if kind == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"])
        return [json.dumps(one) for one in found]

    def picture(self, path: Path) -> None:
        """Keeps what is seen, for a person who looks for why a test failed."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """Ends the process and those that it started."""
        os.close(self.to)
        os.close(self.of)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
