"""Text from data reaches the terminal as text: nothing in it can command the terminal, or pass for something else."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage
from rich.markup import escape
from rich.table import Table

from aot.data.images.reading import Refusal
from aot.errors import AotError, printable
from aot.runs.terminal import Terminal, echo, warn
from bench_layouts import base64_picture, write_tsv
from fault_server import FaultServer
from forked import aot_in_a_fork
from test_layers import FILES, dotted

HOSTILE = "e\x1b]0;t\x07\x1b[2J\x1b[31m\r\x9b1mvil\u202egnp\u2066[red]\u200b"
"""A title, a cleared screen, colours, a line drawn over, letters turned round, rich's markup, an invisible space."""
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")


@given(st.text())
def test_no_text_commands_the_terminal(text: str) -> None:
    shown = printable(text)
    assert not COMMANDS.search(shown) and printable(shown) == shown
    shown.encode()


@pytest.mark.parametrize("text", ["a\tb\nc", "naïve 猫 🐈‍⬛ עברית العربية हिन्दी", "C:\\new", "[red]", "½ € ≤"])
def test_what_people_write_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_mistakes_and_refused_rows_quote_data_in_one_line() -> None:
    error = AotError(f"no {HOSTILE}", where=f"{HOSTILE}\nerror: forged", hint=f"rename {HOSTILE}")
    assert not COMMANDS.search(str(error)) and str(error).count("\n") == 1
    refusal = Refusal(HOSTILE, f"row 1\n{HOSTILE}", f"it is {HOSTILE}\nrefused")
    assert not COMMANDS.search(str(refusal)) and "\n" not in str(refusal)


def test_a_table_keeps_its_own_colours_and_none_of_a_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    table = Table(title=escape(HOSTILE))
    table.add_column("name", style="bold")
    table.add_row(escape(HOSTILE))
    Terminal().print(table)
    Terminal(stderr=True).print(HOSTILE, style="red", markup=False)
    told = capsys.readouterr()
    for text in told:
        own = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert own != text and not COMMANDS.search(own)
        assert "\\x1b[31m" in own and "[red]" in own and "\\u202e" in own


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    echo(HOSTILE)
    warn(HOSTILE)
    told = capsys.readouterr()
    assert told.out == told.err == f"{printable(HOSTILE)}\n"


def test_only_one_file_writes_to_the_terminal() -> None:
    """Whoever prints elsewhere prints what others named."""
    found = []
    for path, tree in FILES.items():
        for node in ast.walk(tree):
            name = dotted(node.func) if isinstance(node, ast.Call) else ""
            passed = isinstance(node, ast.Name) and node.id == "print"
            if name in ("typer.echo", "typer.secho", "Console", "sys.stdout.write", "sys.stderr.write") or passed:
                found.append(path.as_posix())
    assert set(found) == {"runs/terminal.py"}


def test_hostile_names_and_labels_from_data_to_the_terminal(tmp_path: Path) -> None:
    """`aot eval` and `aot audit` as a user runs them, on data that was made to attack the terminal; and a mistake."""
    name = HOSTILE.replace("/", "") + ".png"
    photos = tmp_path / "photos"
    photos.mkdir()
    PilImage.effect_noise((128, 96), 60).convert("RGB").save(photos / name, "PNG")
    (photos / f"broken{name}").write_bytes(b"no picture")
    boxes = [{"id": n, "image_id": 1, "category_id": n, "bbox": [10 + 50 * n, 10, 40, 40]} for n in range(2)]
    coco = {
        "images": [
            {"id": 1, "file_name": name, "width": 128, "height": 96},
            {"id": HOSTILE, "file_name": f"broken{name}", "width": 128, "height": 96},
        ],
        "annotations": [*boxes, {"id": HOSTILE, "image_id": HOSTILE, "category_id": 1, "bbox": [1, 1, 9]}],
        "categories": [{"id": n, "name": f"{HOSTILE}{n}"} for n in range(2)],
    }
    (photos / "instances.json").write_text(json.dumps(coco))
    cell = HOSTILE.replace("\r", "")
    row = {"index": "0", "image": base64_picture(0), "question": cell, "A": "a", "B": cell, "answer": "A"}
    bad = row | {"index": cell, "answer": cell + "C"}
    gone = row | {"index": "2", "image": "", "image_path": f"{cell}.png"}
    rows = write_tsv(tmp_path / f"{HOSTILE}.tsv", [row | {"image_path": ""}, bad, gone])
    with FaultServer(lambda content, body: f"\\boxed{{A}} {HOSTILE}") as server:
        asked = ["--defender", server.url, "--model", "mini"]
        commands = [
            ["eval", *asked, "--benchmark", f"custom:{HOSTILE}={rows}", "--out", str(tmp_path / "eval")],
            ["audit", *asked, "--data", str(photos), "--attacks", "jpeg", "--draws", "1", "--limit", "2",
             "--out", str(tmp_path / "audit")],
            ["forge", "--data", str(tmp_path / f"none{HOSTILE}"), "--out", str(tmp_path / "forge")],
        ]  # fmt: skip
        said = tmp_path / "said"
        others, told = [], ""
        for command in commands:
            others.append(aot_in_a_fork(*command, said=said))
            others[-1].join(300)
            told += said.read_bytes().decode()
    assert others[0].exitcode in (2, 3) and [other.exitcode for other in others[1:]] == [3, 2], told
    assert not COMMANDS.search(told), COMMANDS.findall(told)
    assert told.count("\\x1b[31m") > 4 and "[red]" in told and "\\u202e" in told
