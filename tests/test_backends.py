"""Asking with a store: nothing twice, nothing lost, flat memory; and what a stored reply's key is made of."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage

from aot.backends.asking.ask_all import HELD, ask_all
from aot.backends.asking.counts import AskedCounts
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Reply, Sampling, reply_key
from aot.backends.base.pictures import fitted, mime_type, png
from aot.backends.base.scripted import ScriptedBackend
from aot.data.images.decoding import BadPicture
from aot.data.images.reading import size_within
from aot.errors import AotError

GREEDY = Sampling()


def asks(n: int, different: int | None = None) -> list[Ask]:
    return [Ask(str(i), (b"picture", f"question {i % (different or n)}")) for i in range(n)]


def loud(ask: Ask) -> str:
    return str(ask.content[-1]).upper()


def test_every_request_gets_its_reply_and_identical_ones_are_asked_once() -> None:
    backend, counts, seen = ScriptedBackend(loud), AskedCounts(), []
    given = list(
        ask_all(backend, asks(300, 70), GREEDY, counts=counts, progress=lambda c: seen.append(c.replies))
    )
    assert sorted(int(ask.id) for ask, _ in given) == list(range(300))
    assert all(reply.text == loud(ask) for ask, reply in given)
    assert len(backend.asked) == counts.asked == counts.requests == 70
    assert counts.stored == 230 and counts.statuses == {"answered": 300} and seen == list(range(1, 301))


def test_what_is_stored_is_not_asked_again(tmp_path: Path) -> None:
    full = Reply("B", probabilities=(0.25, 0.75), prompt_tokens=9, faults=("429", "timeout"), attempts=3, seconds=0.5)
    first, again, counts = ScriptedBackend(lambda _: full), ScriptedBackend(loud), AskedCounts()
    with AnswerStore(tmp_path / "deep" / "replies.sqlite") as store:
        list(ask_all(first, asks(10), GREEDY, store))
    with AnswerStore(tmp_path / "deep" / "replies.sqlite") as store:
        given = list(ask_all(again, asks(12), GREEDY, store, counts=counts))
        assert [ask.id for ask in again.asked] == ["10", "11"]
        assert {ask.id: reply for ask, reply in given}["3"] == full
        assert counts.stored == 10 and counts.asked == 2 and counts.faults == {}
        assert store.counts().faults == {"429": 10, "timeout": 10} and store.counts().requests == 32


def test_errors_are_counted_and_asked_again_by_the_next_run_only(tmp_path: Path) -> None:
    broken = ScriptedBackend(lambda _: Reply("", "error", "500", attempts=6, faults=("500",) * 6))
    with AnswerStore(tmp_path / "s") as store:
        given = list(ask_all(broken, asks(9, 3), GREEDY, store))
        assert [reply.status for _, reply in given] == ["error"] * 9 and len(broken.asked) == 3 and len(store) == 0
        whole = ScriptedBackend(loud)
        assert {r.status for _, r in ask_all(whole, asks(9, 3), GREEDY, store)} == {"answered"}
        assert len(whole.asked) == 3 and store.counts().faults == {"500": 18}


@pytest.mark.parametrize("status", ["truncated", "refused"])
def test_other_statuses_are_final(tmp_path: Path, status: str) -> None:
    with AnswerStore(tmp_path / "s") as store:
        list(ask_all(ScriptedBackend(lambda _: Reply("x", status)), asks(2), GREEDY, store))  # type: ignore[arg-type]
        again = ScriptedBackend(loud)
        assert {r.status for _, r in ask_all(again, asks(2), GREEDY, store)} == {status} and again.asked == []


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 25), st.integers(0, 10))
def test_the_budget_holds_exactly(n: int, different: int, budget: int, known: int) -> None:
    with AnswerStore() as store:
        list(ask_all(ScriptedBackend(loud), asks(min(n, known), different), GREEDY, store))
        backend, counts = ScriptedBackend(loud), AskedCounts()
        given = list(ask_all(backend, asks(n, different), GREEDY, store, budget=budget, counts=counts))
    assert len(given) == n == counts.replies
    wanted = len({i % different for i in range(n)} - {i % different for i in range(min(n, known))})
    assert len(backend.asked) == min(budget, wanted)
    left = [reply for _, reply in given if reply.status == "error"]
    assert len(left) == counts.over_budget and {reply.error for reply in left} <= {"budget"}
    assert counts.statuses["answered"] == n - len(left)


@pytest.mark.parametrize("known", [0, 1000, 500])
def test_requests_are_taken_as_they_are_needed(known: int) -> None:
    taken = 0

    def many() -> Iterator[Ask]:
        nonlocal taken
        for taken, ask in enumerate(asks(1000), 1):  # noqa: B007
            yield ask

    with AnswerStore() as store:
        list(ask_all(ScriptedBackend(loud), asks(known), GREEDY, store))
        for handed_out, _ in enumerate(ask_all(ScriptedBackend(loud), many(), GREEDY, store), 1):
            assert taken <= handed_out + HELD
    assert handed_out == 1000


def test_the_key_is_everything_that_the_reply_depends_on() -> None:
    ask = Ask("1", (b"picture", "Which?"), ("A", "B"))
    keys = {
        reply_key(identity, each, sampling)
        for identity in ({"model": "a"}, {"model": "b"})
        for each in (
            ask,
            dataclasses.replace(ask, content=(b"other", "Which?")),
            dataclasses.replace(ask, content=(b"picture", "Which one?")),
            dataclasses.replace(ask, content=("Which?", b"picture")),
            dataclasses.replace(ask, content=(b"picture", "Which", "?")),
            dataclasses.replace(ask, options=()),
            dataclasses.replace(ask, trial=1),
        )
        for sampling in (
            GREEDY,
            Sampling(temperature=1.0),
            Sampling(seed=1),
            Sampling(max_new_tokens=5),
            Sampling(top_p=0.9),
            Sampling(min_pixels=9),
            Sampling(max_pixels=9),
        )
    }
    assert len(keys) == 2 * 7 * 7
    assert reply_key({"model": "a"}, dataclasses.replace(ask, id="2"), GREEDY) in keys
    assert reply_key({}, Ask("", ("\ud800",)), GREEDY) != reply_key({}, Ask("", ("?",)), GREEDY)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6000])


def scribble(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + b"\xff" * 7000 + whole[9000:])


def replace_by_text(path: Path) -> None:
    path.write_text("id,answer\n1,A\n" * 100)


def make_foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE diary (day TEXT)")


def spoil_a_reply(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE replies SET reply = '{\"text\": 3'")


@pytest.mark.parametrize("damage", [truncate, scribble, replace_by_text, make_foreign, spoil_a_reply])
def test_a_damaged_store_says_so(tmp_path: Path, damage) -> None:
    path = tmp_path / "replies.sqlite"
    with AnswerStore(path) as store:
        list(ask_all(ScriptedBackend(loud), asks(200), GREEDY, store))
    damage(path)
    with pytest.raises(AotError, match="next: ") as error, AnswerStore(path) as store:
        list(ask_all(ScriptedBackend(loud), asks(200), GREEDY, store))
    assert str(path) in str(error.value)


def test_a_store_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "below", tmp_path):
        with pytest.raises(AotError):
            AnswerStore(path)


def test_a_backend_that_gives_up_says_what_is_stored(tmp_path: Path) -> None:
    def reply(ask: Ask) -> str:
        if ask.id == "7":
            raise AotError("gone", where="there", hint="see to it")
        return "x"

    told = r"there: gone; 7 replies are stored\n.*goes on"
    with AnswerStore(tmp_path / "s") as store, pytest.raises(AotError, match=told):
        list(ask_all(ScriptedBackend(reply), asks(9), GREEDY, store))


# --- pictures ---------------------------------------------------------------------------------------------------------


def photo(width: int, height: int, form: str = "JPEG", **more: object) -> bytes:
    rng = np.random.default_rng(0)
    file = BytesIO()
    picture = PilImage.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8))
    picture.save(file, form, **more)
    return file.getvalue()


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 9000), st.integers(0, 90000))
def test_pixel_bounds_hold_and_the_aspect_is_kept(width: int, height: int, least: int, more: int) -> None:
    most = least + more
    wide, high = size_within(width, height, least, most)
    assert 1 <= wide * high <= most and (wide * high >= least or more < 8 * (wide + high))
    if min(wide, high) > 20:
        assert wide / high == pytest.approx(width / height, rel=0.12)
    if least <= width * height <= most:
        assert (wide, high) == (width, height)


def test_only_what_must_change_is_changed() -> None:
    small = photo(40, 30)
    assert fitted(small, GREEDY) is small and mime_type(small) == "image/jpeg"
    capped = fitted(small, Sampling(max_pixels=300))
    assert PilImage.open(BytesIO(capped)).size == (20, 15) and mime_type(capped) == "image/png"
    assert PilImage.open(BytesIO(fitted(small, Sampling(min_pixels=4800)))).size == (80, 60)
    assert mime_type(fitted(photo(40, 30, "BMP"), GREEDY)) == "image/png"
    exif = PilImage.Exif()
    exif[0x0112] = 6
    assert PilImage.open(BytesIO(fitted(photo(40, 30, exif=exif), GREEDY))).size == (30, 40)
    image = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    assert (np.asarray(PilImage.open(BytesIO(png(image)))) == image).all()


def test_what_is_no_picture_is_refused() -> None:
    bomb = b"\x89PNG\r\n\x1a\n" + photo(1, 1, "PNG")[8:16] + (10**5).to_bytes(4, "big") * 2 + photo(1, 1, "PNG")[24:]
    cut = photo(300, 300)[:4000]
    for content, sampling in ((b"", GREEDY), (b"<html>", GREEDY), (bomb, GREEDY), (cut, Sampling(max_pixels=99))):
        with pytest.raises(BadPicture):
            fitted(content, sampling)
