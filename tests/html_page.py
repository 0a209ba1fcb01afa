"""A page as a browser makes it: its tags and text, that it needs nothing from outside, how wide it is on a screen."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")
PROBE = """<script>onload = () => { const shown = [...document.images];
parent.postMessage([document.documentElement.scrollWidth, shown.length,
shown.filter(i => i.complete && i.naturalWidth > 0).length].join(' '), '*') }</script></body>"""


class Page(HTMLParser):
    """Every tag with its attributes, and all text but the style's; tags are balanced."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def images(self) -> list[str]:
        return [attrs["src"] or "" for tag, attrs in self.tags if tag == "img"]

    def check_self_contained(self) -> None:
        """Nothing is run, nothing comes from outside, and the page's own policy forbids both."""
        assert not {tag for tag, _ in self.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not [name for _, attrs in self.tags for name in attrs if name.startswith("on") or name == "href"]
        assert all(src.startswith("data:image/png;base64,") for src in self.images)
        assert not re.search(r"url\(|@import", self.source)
        assert set(re.findall(r"https?://[^\"\s]+", self.source)) <= {"http://www.w3.org/2000/svg"}
        assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in self.source


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0"]
    command = [CHROMIUM, *fixed, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)


def measured_in_frames(source: str, folder: Path, widths: Sequence[int]) -> list[str]:
    """In frames of these widths (a headless window cannot be narrower than 500 px) the page's own width, its images,
    and how many of them show. A copy without the page's policy is given a script that reports."""
    source = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    (folder / "page.html").write_text(source.replace("</body>", PROBE), encoding="utf-8")
    frames = [f'<iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe>' for width in widths]
    script = "<script>onmessage = e => { const from = [...document.querySelectorAll('iframe')].findIndex("
    script += "f => f.contentWindow === e.source); document.querySelectorAll('p')[from].textContent = e.data }</script>"
    (folder / "outer.html").write_text("".join(frames) + "<p>none</p>" * len(widths) + script)
    address = (folder / "outer.html").as_uri()
    done = chromium(folder, "--window-size=1400,1000", "--virtual-time-budget=5000", "--dump-dom", address)
    return re.findall(r"<p>(.*?)</p>", done.stdout)
