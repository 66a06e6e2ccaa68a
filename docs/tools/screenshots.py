"""The pictures of the two ways to browse a run without an account: `python docs/tools/screenshots.py`.

Trains NADE on the bundled digits for a few epochs, offline, then opens the run in `wandb leet`, whose terminal is drawn
by pyte and rich, and in TensorBoard, both photographed by headless Chromium.
"""

import fcntl
import io
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text
from selenium import webdriver
from selenium.webdriver.common.by import By

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
COLUMNS, LINES = 150, 44  # of the terminal
SETTLED = 6  # seconds until nothing moves any more
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
TRAINING = (
    "--config", "conf/nade.yaml", "trainer.max_epochs=10", "trainer.devices=1", "samples.every=2",
    "tracking.mode=offline", "tracking.tensorboard=true",
)  # fmt: skip


def main() -> None:
    """Train, and write docs/images/wandb-leet.png and docs/images/tensorboard.png."""
    with tempfile.TemporaryDirectory() as home:
        run = Path(home) / "runs" / "nade"
        subprocess.run([sys.executable, "run.py", *TRAINING, f"run_dir={run}"], cwd=ROOT, check=True)
        (log,) = (run / "wandb").glob("offline-run-*/*.wandb")
        screen = terminal([sys.executable, "-m", "wandb", "leet", "run", str(log)], Path(home))
        (Path(home) / "leet.svg").write_text(svg(screen), encoding="utf-8")
        page = Path(home) / "leet.html"
        page.write_text('<img src="leet.svg" width="1380">', encoding="utf-8")
        with chromium(1400, 1000) as browser:
            browser.get(page.as_uri())
            browser.find_element(By.TAG_NAME, "img").screenshot(str(IMAGES / "wandb-leet.png"))
        with tensorboard(run.parent) as url, chromium(1400, 1120) as browser:
            browser.get(f"{url}/?tagFilter=(train%7Cval)/bpd%7Cgrad_norm%7Csamples&smoothing=0#timeseries")
            time.sleep(SETTLED)
            browser.find_element(By.XPATH, "//button[contains(., 'Settings')]").click()  # closes their pane
            time.sleep(1)
            browser.save_screenshot(str(IMAGES / "tensorboard.png"))


def terminal(command: list[str], home: Path) -> pyte.Screen:
    """Run a program in a terminal of its own until it has settled; return what the terminal shows."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    process, keyboard = pty.fork()
    if process == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "HOME": str(home)}
        os.environ["WANDB_ERROR_REPORTING"] = "false"
        os.execvp(command[0], command)
    fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    until = time.monotonic() + SETTLED
    with suppress(OSError):  # the program has ended
        while time.monotonic() < until:
            if select.select([keyboard], [], [], 0.1)[0]:
                stream.feed(os.read(keyboard, 1 << 16))
    os.kill(process, signal.SIGTERM)
    os.waitpid(process, 0)
    return screen


def svg(screen: pyte.Screen) -> str:
    """Draw a terminal."""
    console = Console(record=True, width=screen.columns, file=io.StringIO(), color_system="truecolor")
    for y in range(screen.lines):
        row = screen.buffer[y]
        line = Text(no_wrap=True)
        for x in range(screen.columns):
            cell = row[x]
            line.append(cell.data, Style(color=colour(cell.fg), bgcolor=colour(cell.bg), bold=cell.bold))
        console.print(line)
    return console.export_svg(title="wandb leet")


def colour(name: str) -> str | None:
    """Return rich's name of a colour of pyte."""
    if name == "default":
        return None
    return (
        f"#{name}" if len(name) == 6 and all(c in "0123456789abcdef" for c in name) else name.replace("brown", "yellow")
    )


@contextmanager
def chromium(width: int, height: int) -> Iterator[Any]:
    """Yield a browser."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--window-size={width},{height}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """Serve a folder of events on this machine alone; yield the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    server = subprocess.Popen([*command, "--host", "127.0.0.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with suppress(OSError):
                urllib.request.urlopen(url, timeout=5).close()
                break
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
