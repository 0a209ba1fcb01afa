"""`aot audit --attacks pgd,apgd,robust_vlm`: a group of its own, kept images, models behind a URL, transfer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aot.attacks.pixel_attacker import PixelAttacker
from aot.audit.command import audit, audit_settings
from aot.audit.white_box import check_attacks, open_white_box
from aot.errors import AotError
from conftest import Ended
from fault_server import FaultServer
from tiny_models import BUILDERS

FAST = ["pixels.eps=[8]", "pixels.pgd.steps=3", "pixels.robust_vlm.steps=2", "gallery=4"]
WORLD = ("--data", "world", "--limit", "6", "--draws", "2")


def test_perturbations_are_a_group_of_their_own_and_are_made_once(
    aot: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [word for override in FAST for word in ("--set", override)]
    chosen = ["--attacks", "noise,pgd,robust_vlm", *options]
    command = ["audit", "--defender", "miniature", *WORLD, *chosen, "--out", "out"]
    done = aot(*command)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((tmp_path / "out/audit.json").read_text())
    groups = {name: attack["group"] for name, attack in result["attacks"].items()}
    assert groups == {"noise": "corruption", "pgd_8": "perturbation", "robust_vlm_8": "perturbation"}
    pgd, in_turn = result["attacks"]["pgd_8"], result["attacks"]["robust_vlm_8"]
    assert pgd["fair"] == 12 and pgd["success"]["hits"] >= 2 and pgd["refused_by_referee"] == {}
    # It is without chance: a second draw is the first image again, unless nothing could be found at all.
    assert in_turn["impossible"].get("drawn_before", 0) + in_turn["impossible"].get("unchanged", 0) >= 6
    assert set(result["worst_case"]) == {"corruption", "perturbation", "all"}
    page = (tmp_path / "out/audit.html").read_text()
    assert "Perturbations" in page and "difference × 16" in page and "PGD 8/255" in page

    def never(*_: object) -> None:
        raise AssertionError("an image was made again")

    monkeypatch.setattr(PixelAttacker, "attacks", never)
    before = (tmp_path / "out/outcomes.jsonl").read_bytes()
    assert aot(*command).returncode == 0 and (tmp_path / "out/outcomes.jsonl").read_bytes() == before
    assert (tmp_path / "out/audit.html").read_text() == page


def test_a_model_behind_a_url_is_attacked_by_anothers_gradients_alone(tmp_path: Path) -> None:
    settings = audit_settings(FAST, draws=1)
    with FaultServer(lambda content, body: "\\boxed{A}") as server:
        with pytest.raises(AotError, match=r"no gradients[\s\S]*--transfer-from"):
            audit(server.url, None, tmp_path, settings, model="mini", attacks=["pgd"], limit=3)
        assert not server.requests
        said = {"model": "mini", "attacks": ["pgd"], "limit": 3, "blind": True, "say": lambda _: None}
        result, page = audit(server.url, None, tmp_path, settings, transfer_from="miniature", **said)
    assert result["attacks"]["pgd_8"]["fair"] == 3 and result["protocol"]["transfer_from"] == "miniature"
    assert "gradients of miniature" in page.read_text()


def test_mistakes_are_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(AotError, match="did you mean apgd"):
        check_attacks(("apdg",), "miniature", None)
    with pytest.raises(AotError, match="no attack needs"):
        check_attacks(("noise",), "miniature", "miniature")
    BUILDERS["llava"](tmp_path / "llava")
    with pytest.raises(AotError, match=r"gradients[\s\S]*--transfer-from"):
        open_white_box(("pgd",), str(tmp_path / "llava"), tmp_path, audit_settings([]))
