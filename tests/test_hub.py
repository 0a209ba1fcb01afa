"""Players of the hub: found in its cache, followed by reference; what is missing or broken is told."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from aot.backends.base.backend import Ask, Sampling
from aot.backends.local.backend import LocalBackend
from aot.errors import AotError
from aot.players import base_players, digests
from aot.players.base_players import (
    BASE,
    Base,
    base_at,
    followed,
    keep_player,
    player_folder,
    player_key,
    reference_to,
)
from aot.players.defender.opening import open_defender
from aot.players.digests import digest_of, player_digests
from aot.players.hub import check_whole, commit_of, fetched, is_hub_id
from aot.players.settings import DefenderSettings, LoraSettings
from aot.runs.files import read_json

ID, COMMIT = "somebody/tiny-vl", "0123456789abcdef0123456789abcdef01234567"
MINIATURE = player_folder("miniature", "defender")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache on a machine that has the miniature defender as `ID`, laid out as `hf download` does."""
    root = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    model = root / "models--somebody--tiny-vl"
    snapshot, blobs = model / "snapshots" / COMMIT, model / "blobs"
    for folder in (snapshot, blobs, model / "refs"):
        folder.mkdir(parents=True)
    (model / "refs/main").write_text(COMMIT)
    (model / "refs/v2").write_text(COMMIT)
    for path in MINIATURE.iterdir():
        blob = blobs / sha256(path.read_bytes()).hexdigest()
        shutil.copyfile(path, blob)
        (snapshot / path.name).symlink_to(blob)
    return model


def test_it_is_asked_by_its_id(cache: Path) -> None:
    backend, there = LocalBackend(ID), LocalBackend(MINIATURE)
    assert (backend.identity["model"], backend.name) == ({"id": ID, "commit": COMMIT}, "tiny-vl")
    asks = [Ask("1", ("Is it red?",), ("yes", "no"))]
    ours, theirs = (next(each.ask(asks, Sampling(max_new_tokens=3)))[1] for each in (backend, there))
    assert (ours.text, ours.probabilities) == (theirs.text, theirs.probabilities)


def answering(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """The hub answers every question so."""

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", refuse)


def http(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    library = sys.modules[errors.HTTPError.__module__.partition(".")[0]]  # httpx, or httpx2 in its newer releases
    request = library.Request("GET", "https://huggingface.co")
    return kind(f"{status} from the hub\nwith details", response=errors.Response(status, request=request))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", True),
        ("somebody/a_b-c.d1", True),
        ("miniature", False),
        ("./a/b", False),
        ("/a/b", False),
        ("../b", False),
        ("~/b", False),
        ("a/b/c", False),
        ("a b/c", False),
        ("runs/player", False),  # the folder `runs` is there, the player in it is not
        ("http://host/model", False),
    ],
)
def test_what_names_a_model_of_the_hub(name: str, expected: bool, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert is_hub_id(name) == expected


def test_what_is_on_this_machine_plays(cache: Path) -> None:
    for revision in ("", "v2", COMMIT):
        folder = player_folder(ID, "defender", revision=revision, offline=True)
        assert folder == cache / "snapshots" / COMMIT and commit_of(folder) == COMMIT
    assert player_digests(folder) == player_digests(MINIATURE)
    assert commit_of(MINIATURE) == ""


@pytest.mark.parametrize(
    ("error", "told", "next_step"),
    [
        (http(errors.RepositoryNotFoundError, 404), "neither such a folder nor such a model", "check the name at"),
        (http(errors.GatedRepoError, 403), "gated", "accept its licence at https://huggingface.co/nobody/else"),
        (http(errors.RevisionNotFoundError, 404), "no revision v9", "/tree/main"),
        (http(errors.HfHubHTTPError, 503), "cannot be reached: 503 from the hub", "nobody/else --revision v9"),
        (http(errors.HfHubHTTPError, 401), "cannot be downloaded: 401 from the hub", "hf download nobody/else"),
        (errors.OfflineModeIsEnabled("HF_HUB_OFFLINE is set"), "HF_HUB_OFFLINE", "download nobody/else --revision v9"),
    ],
)
def test_what_the_hub_refuses_is_told_with_the_next_step(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str, next_step: str
) -> None:
    answering(monkeypatch, error)
    with pytest.raises(AotError) as raised:
        player_folder("nobody/else", "defender", revision="v9")
    assert told in raised.value.message and next_step in str(raised.value.hint)
    assert "with details" not in str(raised.value)


def test_offline_asks_nobody(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, AssertionError("asked"))
    with pytest.raises(AotError, match=r"\(offline\)") as raised:
        fetched("nobody/else", revision="v9", offline=True)
    assert "hf download nobody/else --revision v9" in str(raised.value)
    assert fetched(ID, revision=COMMIT)  # a commit that is here need not be asked for


def cut(path: Path, size: int) -> None:
    """The file without its end; a link becomes a file."""
    content = path.read_bytes()[:size]
    path.unlink()
    path.write_bytes(content)


def sharded(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def half_of_an_index(cache: Path, folder: Path) -> None:
    sharded(folder)
    (cache / "blobs/ab.incomplete").write_bytes(b"")


def no_weights(cache: Path, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (cache / "blobs/ab.incomplete").write_bytes(b"")


def dangling(cache: Path, folder: Path) -> None:
    (folder / "model.safetensors").resolve().unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (half_of_an_index, "half downloaded: model-2.safetensors is missing (1 in all, 1 downloads are begun)"),
        (no_weights, "half downloaded: model.safetensors is missing"),
        (dangling, "half downloaded: model.safetensors is missing"),
        (lambda _, f: (f / "model.safetensors.index.json").write_text("[]"), "this index of weights cannot be read"),
        (lambda _, f: cut(f / "model.safetensors", 1000), "damaged weights: cut off within its header"),
        (lambda _, f: cut(f / "model.safetensors", 100_000), "damaged weights: 100000 bytes where its header says"),
        (lambda _, f: (f / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{]"), "header cannot be read"),
    ],
)
def test_half_downloaded_and_damaged_weights(cache: Path, damage: Callable[[Path, Path], Any], told: str) -> None:
    folder = cache / "snapshots" / COMMIT
    damage(cache, folder)
    with pytest.raises(AotError) as raised:
        player_folder(ID, "defender", offline=True)
    assert told in raised.value.message
    assert "hf download" in str(raised.value.hint) and ID in str(raised.value.hint)


def test_a_hub_that_knows_what_is_missing_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, errors.IncompleteSnapshotError("2 file(s) are missing", str(cache)))
    with pytest.raises(AotError, match="half downloaded: 2 file") as raised:
        fetched(ID, revision="other")
    assert "`hf download somebody/tiny-vl --revision other`" in str(raised.value)


def test_any_folder_is_checked(tmp_path: Path) -> None:
    check_whole(MINIATURE)
    check_whole(player_folder("miniature", "attacker"))
    sharded(tmp_path)
    with pytest.raises(AotError, match=r"model-2.safetensors is missing|model.safetensors is missing"):
        check_whole(tmp_path)


def test_a_run_keeps_a_reference_that_is_followed_and_verified(cache: Path, tmp_path: Path) -> None:
    settings = DefenderSettings(model=ID, offline=True)
    assert player_key(settings, "defender") == {"model": ID, "revision": ""}
    stage = tmp_path / "stage"
    stage.mkdir()
    assert keep_player(settings, "defender", stage) == {"from": ID, "commit": COMMIT}
    assert [path.name for path in stage.iterdir()] == [BASE]
    base = Base.model_validate(read_json(stage / BASE, hint=""))
    assert base == base_at(stage) == reference_to(fetched(ID, offline=True)) and base.revision == COMMIT
    (cache / "refs/main").write_text("f" * 40)  # the branch moves on: the run stays with its commit
    folder = followed(stage, "defender")
    assert folder.name == COMMIT
    assert open_defender(stage, settings, name="base").name == "base"
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.jinja").write_text("{{ other }}")
    with pytest.raises(AotError, match="is another one than was trained on") as raised:
        followed(stage, "defender", offline=True)
    assert BASE in str(raised.value.where)


def test_a_blob_that_is_not_what_its_name_says_is_damaged(cache: Path) -> None:
    weights = (cache / "snapshots" / COMMIT / "model.safetensors").resolve()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(AotError, match="its sha256 is not the hub's"):
        reference_to(player_folder(ID, "defender", offline=True))


def test_small_folders_are_copied_large_ones_and_bases_of_adapters_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(name: str, settings: DefenderSettings) -> set[str]:
        (tmp_path / name).mkdir()
        assert keep_player(settings, "defender", tmp_path / name) == {"from": settings.model}
        assert player_digests(followed(tmp_path / name, "defender")) == player_digests(MINIATURE)
        return {path.name for path in (tmp_path / name).iterdir()}

    own = tmp_path / "own"
    shutil.copytree(MINIATURE, own)
    assert kept("copied", DefenderSettings()) == {path.name for path in MINIATURE.iterdir()}
    assert kept("adapted", DefenderSettings(lora=LoraSettings(rank=4))) == {BASE}
    monkeypatch.setattr(base_players, "COPIED_BYTES", 1000)
    assert kept("large", DefenderSettings(model=str(own))) == {BASE}
    assert base_at(tmp_path / "large") == reference_to(own)
    own.rename(tmp_path / "away")
    with pytest.raises(AotError, match=r"no defender there"):
        followed(tmp_path / "large", "defender")


def test_digests_of_large_files_are_remembered_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(digests, "LARGE_BYTES", 10)
    read: list[Path] = []
    monkeypatch.setattr(digests, "sha256_of", lambda path: read.append(path) or sha256(path.read_bytes()).hexdigest())
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(b"x" * 20)
    small.write_bytes(b"x")
    first = digest_of(large)
    assert digest_of(large) == first == sha256(b"x" * 20).hexdigest() and read == [large]
    digest_of(small), digest_of(small)
    assert read[1:] == [small, small]
    large.write_bytes(b"y" * 21)
    assert digest_of(large) == sha256(b"y" * 21).hexdigest()
    memory = tmp_path / "xdg/aot/digests.json"
    for junk in ("[1]", "{", json.dumps({str(large): [21, "x"]})):
        memory.write_text(junk)
        assert digest_of(large) == sha256(b"y" * 21).hexdigest()
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert digest_of(large) == sha256(b"y" * 21).hexdigest()
