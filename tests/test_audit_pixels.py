"""`aot audit --attacks pgd,apgd,robust_vlm`: a group of its own, kept images, models behind a URL, transfer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from aot.attacks.white_box.attacker import PixelAttacker
from aot.audit import white_box
from aot.audit.command import audit, audit_settings
from aot.audit.white_box import check_attacks, labels_of, open_white_box
from aot.errors import AotError
from aot.players.base_players import SHIPPED
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
        result, page = audit(server.url, None, tmp_path, settings, transfer_from=["miniature"], **said)
    assert result["attacks"]["pgd_8"]["fair"] == 3 and result["protocol"]["transfer_from"] == ["miniature"]
    assert "gradients of miniature" in page.read_text()


def test_transferred_to_itself_an_image_is_the_white_box_attack(tmp_path: Path) -> None:
    """Images of two models, one of them the audited one: its row is the white-box attack, draw by draw."""
    other = tmp_path / "models/other"
    shutil.copytree(SHIPPED / "defender", other)
    tensors = load_file(other / "model.safetensors")
    save_file({k: v + 0.01 * v.std() for k, v in tensors.items()}, other / "model.safetensors", {"format": "pt"})
    settings = audit_settings(FAST, draws=2)
    said = {"attacks": ["pgd"], "limit": 5, "say": lambda _: None}
    alone, _ = audit("miniature", None, tmp_path / "alone", settings, **said)
    models = ["miniature", str(other)]
    result, page = audit("miniature", None, tmp_path / "two", settings, transfer_from=models, **said)
    assert list(result["attacks"]) == ["pgd_8@miniature", "pgd_8@other"]
    own, before = result["attacks"]["pgd_8@miniature"], alone["attacks"]["pgd_8"]
    for key in before.keys() - {"title", "about"}:
        assert own[key] == before[key], key
    lines = [(tmp_path / name / "outcomes.jsonl").read_text().splitlines() for name in ("alone", "two")]
    mine = [{o["scene"] + str(o["draw"]): (o["right"], o["said"]) for o in map(json.loads, each)
             if o["attack"] in ("pgd_8", "pgd_8@miniature")} for each in lines]
    assert mine[0] == mine[1] and len(mine[0]) == 10
    assert "Images crafted on other models" in page.read_text() and "PGD 8/255 of other" in page.read_text()
    assert labels_of(["/a/run/x", "/b/run/x", "miniature"]) == ["a/run/x", "b/run/x", "miniature"]


def test_a_killed_audit_goes_on_from_the_parts_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the same files, and it says beforehand how long it takes."""
    monkeypatch.setattr(white_box, "PART", 2)
    settings, told = audit_settings(FAST, draws=1), list[str]()
    chosen = {"attacks": ["robust_vlm"], "limit": 5}
    audit("miniature", None, tmp_path / "whole", settings, say=told.append, **chosen)
    first = next(line for line in told if "gradients" in line)
    assert "at most 60 gradients of an image" in first and told.index(first) < len(told) - 2  # 5 x 4 x (2 + 1)
    made, attacks = [0], PixelAttacker.attacks

    def killed(self: PixelAttacker, scenes: Any, rngs: Any) -> Any:
        made[0] += len(scenes)
        if made[0] > 4:
            raise KeyboardInterrupt
        return attacks(self, scenes, rngs)

    monkeypatch.setattr(PixelAttacker, "attacks", killed)
    with pytest.raises(KeyboardInterrupt):
        audit("miniature", None, tmp_path / "killed", settings, say=lambda _: None, **chosen)
    assert len(list((tmp_path / "killed").rglob("*.png"))) == 4
    made[0] = 3  # the part that is left has one image
    audit("miniature", None, tmp_path / "killed", settings, say=lambda _: None, **chosen)
    assert made[0] == 4
    whole, after = ((tmp_path / name / "outcomes.jsonl").read_bytes() for name in ("whole", "killed"))
    assert after == whole


def in_tiles(*_: object) -> None:
    raise AotError("its processor shows one image in tiles")


def test_mistakes_are_told_before_anything_is_attacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AotError, match="did you mean apgd"):
        check_attacks(("apdg",), "miniature", ())
    with pytest.raises(AotError, match="no attack needs"):
        check_attacks(("noise",), "miniature", ["miniature"])
    with pytest.raises(AotError, match="given twice"):
        check_attacks(("pgd",), "miniature", ["miniature", "miniature"])
    BUILDERS["llava"](tmp_path / "llava")
    monkeypatch.setattr("aot.players.defender.probed_pixels.ProbedProcessor.fitted", in_tiles)
    with pytest.raises(AotError, match=r"gradients[\s\S]*in tiles[\s\S]*--transfer-from"):
        open_white_box(("pgd",), [str(tmp_path / "llava")], tmp_path, audit_settings([]))
