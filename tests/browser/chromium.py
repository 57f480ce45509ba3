"""A real browser without a screen, driven over a pipe by the DevTools protocol; standard library only."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PATIENCE = 60.0
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
    "--password-store=basic",
)


def find_browser() -> str | None:
    """The browser to drive: REID_BROWSER, else the first of NAMES on the path; None without one."""
    return os.environ.get("REID_BROWSER") or next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Page:
    """One open page. What it complained about, asked for, and showed is collected as it happens."""

    browser: "Browser"
    session: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    loaded: bool = False

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command to this page and its answer."""
        return self.browser.call(method, parameters, self)

    def open(self, path: Path) -> "Page":
        """Load a file and wait until it is loaded."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.loaded = False
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.browser.wait(lambda: self.loaded, self)
        return self

    def evaluate(self, script: str) -> Any:
        """The value of a script; promises are waited for. Raises RuntimeError with the page's own message."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    def view(self, width: int, height: int = 900, *, mobile: bool = False, scale: float = 1.0) -> None:
        """Set the size of the window in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, scheme: str) -> None:
        """Pretend that the person prefers `light` or `dark`; returns when the page has been told (its listeners run before the
        next frame is drawn, not at once)."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def screenshot(self, path: Path, *, whole: bool = False, clip: dict[str, float] | None = None) -> None:
        """Write a PNG of the window, of the whole page, or of the rectangle `clip` (x, y, width, height)."""
        more: dict[str, Any] = {"captureBeyondViewport": True} if whole or clip else {}
        if clip:
            more["clip"] = {**clip, "scale": clip.get("scale", 1)}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **more)["data"]))

    def print(self, path: Path) -> None:
        """Write the page as a PDF on A4."""
        answer = self.call(
            "Page.printToPDF", printBackground=True, preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def notice(self, method: str, event: dict[str, Any]) -> None:
        """Take in one event of the protocol."""
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(event["message"])
            self.browser.send("Page.handleJavaScriptDialog", {"accept": False}, self)
        elif method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(event["args"])[:500])
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self.complaints.append(event["entry"]["text"])


class Browser:
    """One browser process; see `browser`."""

    def __init__(self, program: str, profile: str) -> None:
        theirs, self._out = os.pipe()
        self._in, answers = os.pipe()
        flags = [*FLAGS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        # The protocol's pipe is file descriptors 3 (to the browser) and 4 (from it); a shell puts them there.
        script = f'exec 3<&{theirs} 4>&{answers}; exec "$@"'
        command = ["/bin/bash", "-c", script, "browser", program, *flags, "about:blank"]
        self._log = open(os.path.join(profile, "browser.log"), "wb")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(command, pass_fds=(theirs, answers), stderr=self._log, stdout=self._log)
        os.close(theirs)
        os.close(answers)
        self._buffer = b""
        self._number = 0
        self._pages: dict[str, Page] = {}
        self._answers: dict[int, dict[str, Any]] = {}

    def page(self) -> Page:
        """A new empty page."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._pages[session] = Page(self, session)
        return self._pages[session]

    def send(self, method: str, parameters: dict[str, Any], page: Page | None = None) -> int:
        """Send a command; its number."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if page is not None:
            message["sessionId"] = page.session
        data = json.dumps(message).encode("ascii") + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        return self._number

    def call(self, method: str, parameters: dict[str, Any], page: Page | None = None) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises RuntimeError if it is refused."""
        number = self.send(method, parameters, page)
        self.wait(lambda: number in self._answers, page)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def wait(self, ready: Any, page: Page | None = None) -> None:
        """Take in messages until `ready()`. Raises TimeoutError, with the end of the browser's own log."""
        end = time.monotonic() + PATIENCE
        while not ready():
            left = end - time.monotonic()
            if left <= 0 or not self._take(left):
                log = Path(self._log.name).read_bytes()[-2000:].decode("utf-8", "replace")
                raise TimeoutError(f"the browser did not answer; its log ends with:\n{log}")

    def _take(self, patience: float) -> bool:
        if not select.select([self._in], [], [], patience)[0]:
            return False
        data = os.read(self._in, 1 << 20)
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            elif message.get("sessionId") in self._pages:
                self._pages[message["sessionId"]].notice(message["method"], message.get("params", {}))
        return bool(data)

    def close(self) -> None:
        """End the process."""
        try:
            self.send("Browser.close", {})
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        for descriptor in (self._in, self._out):
            os.close(descriptor)
        self._log.close()


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """A running browser with an empty profile, ended and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="reid-browser-", ignore_cleanup_errors=True) as profile:
        running = Browser(program, profile)
        try:
            yield running
        finally:
            running.close()
