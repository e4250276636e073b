"""A browser that clicks: Chromium, driven by the DevTools protocol over a pipe."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Browser:
    """One page in headless Chromium."""

    def __init__(self, program: str, profile: Path):
        """Starts it; `profile` is a directory of its own."""
        to_read, self._to_write = os.pipe()
        self._from_read, from_write = os.pipe()
        flags = (
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
        )  # fmt: skip

        def descriptors() -> None:  # the protocol's are 3 and 4
            both = os.dup(to_read), os.dup(from_write)
            os.dup2(both[0], 3)
            os.dup2(both[1], 4)

        self._process = subprocess.Popen(
            [program, *flags], close_fds=False, preexec_fn=descriptors, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(from_write)
        self._number, self._buffer = 0, b""
        self._session: str | None = None
        self.messages: list[str] = []
        self.requests: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a method of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                piece = os.read(self._from_read, 2**16)
                assert piece, "the browser has ended"
                self._buffer += piece
            text, _, self._buffer = self._buffer.partition(b"\0")
            answer = json.loads(text)
            self._note(answer)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _note(self, event: dict[str, Any]) -> None:
        """Keeps what the page complains of and asks for."""
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(params["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.messages.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def show(self, url: str, width: int = 1280, height: int = 1000, dark: bool = False) -> None:
        """Opens a page, and forgets what the one before complained of and asked for."""
        self.call("Page.navigate", url="about:blank")  # so that the one before asks for nothing more
        self.messages.clear()
        self.requests.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """Value of an expression in the page; promises are awaited."""
        got = self._evaluated(script)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def _evaluated(self, script: str) -> dict[str, Any]:
        return self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)

    def wait(self, script: str, seconds: float = 60) -> None:
        """Waits until an expression is true; while the page comes, what it looks at may be missing."""
        deadline = time.monotonic() + seconds
        while "exceptionDetails" in (got := self._evaluated(script)) or not got["result"].get("value"):
            assert time.monotonic() < deadline, (script, self.messages, self.value("document.body.innerText"))
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Clicks into the middle of an element, with the mouse."""
        self.wait(f"document.querySelector({json.dumps(selector)})?.checkVisibility()")
        x, y = self.value(
            f"""(() => {{
                const found = document.querySelector({json.dumps(selector)});
                found.scrollIntoView({{block: "center"}});
                const box = found.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Presses a key, where the focus is."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39, "ArrowLeft": 37}
        code = codes.get(key, ord(key.upper()[0]))
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        named = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """Ends it."""
        os.close(self._to_write)
        self._process.terminate()
        self._process.wait(30)
        os.close(self._from_read)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """Chromium; skips where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine")
    started = Browser(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


CLASSES = ("zero", "0", "<b>two</b>", "a/b", "e", "f", "g", "h", "i", "j")


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """Versions of a small generator with all signatures but `filtered`: the folder of version 3."""
    import keras
    import numpy as np

    from models.dataset import DatasetInfo
    from models.export import export_generator
    from models.networks import build_networks
    from models.options import GANOptions

    keras.utils.set_random_seed(0)
    generator, _ = build_networks(GANOptions(width=8, latent={"dim": 8}), (8, 8, 1), classes=len(CLASSES))
    random = np.random.default_rng(0)
    for variable in generator.trainable_variables:  # as training leaves them, so that labels differ
        variable.assign(variable + 0.5 * random.normal(size=variable.shape))
    ones = (1,) * len(CLASSES)
    info = DatasetInfo(
        classes=CLASSES, image_shape=(8, 8, 1), fingerprint="f" * 64, counts={"train": ones, "eval": ones},
        train_unique=ones, source_counts=ones, class_weights=(1.0,) * len(CLASSES),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("served") / "generator" / "3"
    path.parent.mkdir()
    export_generator(generator, str(path), info, {"steps": 1})
    return path
