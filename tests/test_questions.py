"""Questions about boxes: only what they decide is asked, and the answer can be worked out again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aot.data.photos.questions import (
    COLOURS,
    COUNT_OPTIONS,
    Contents,
    Query,
    answer,
    ask,
    keeps_answer,
    protected,
    queries,
)
from aot.prompts import with_article
from aot.types import Box

SIZE = (200, 100)
CUP, BUS = Box(10, 40, 30, 60, "cup", "red"), Box(120, 30, 170, 70, "bus")
SCENE = Contents((CUP, BUS), SIZE)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query("relation", "cup", ("bus",), "x"), "left"),
        (Query("relation", "bus", ("cup",), "x"), "right"),
        (Query("relation", "bus", ("cup",), "y"), None),
        (Query("side", "cup"), "left"),
        (Query("side", "bus"), "right"),
        (Query("side", "bus", axis="y"), None),
        (Query("existence", "cup"), "yes"),
        (Query("existence", "dog"), "no"),
        (Query("count", "cup"), "1"),
        (Query("count", "dog"), None),
        (Query("colour", "cup"), "red"),
        (Query("colour", "bus"), None),
        (Query("relation", "cup", ("dog",)), None),
    ],
)
def test_answers_follow_from_the_boxes(query: Query, expected: str | None) -> None:
    assert answer(query, SCENE) == expected


def test_nearest_needs_a_clear_winner() -> None:
    def scene(x: int) -> Contents:
        return Contents((CUP, Box(40, 40, 60, 60, "dog"), Box(x, 40, x + 20, 60, "cat")), SIZE)

    query = Query("nearest", "cup", ("cat", "dog"))
    assert answer(query, scene(100)) == "dog"
    assert answer(query, scene(50)) is None


def test_a_second_object_of_a_label_makes_it_ambiguous() -> None:
    two = Contents((*SCENE.boxes, Box(60, 40, 80, 60, "cup")), SIZE)
    for query in (Query("side", "cup"), Query("relation", "bus", ("cup",)), Query("colour", "cup")):
        assert answer(query, SCENE) is not None
        assert answer(query, two) is None
        assert not keeps_answer(query, SCENE, two)
    assert answer(Query("count", "cup"), two) == "2"
    other = Contents((*SCENE.boxes, Box(60, 40, 80, 60, "bowl")), SIZE)
    assert keeps_answer(Query("relation", "cup", ("bus",)), SCENE, other)


def test_doubtful_labels_and_incomplete_boxes() -> None:
    doubtful = Contents(SCENE.boxes, SIZE, frozenset({"cup"}))
    assert answer(Query("side", "cup"), doubtful) is None
    assert not any("cup" in query.labels for query in queries(doubtful, ["cup", "bus"], np.random.default_rng(0)))
    some = Contents(SCENE.boxes, SIZE, complete=False)
    assert answer(Query("existence", "cup"), some) == "yes"
    assert answer(Query("existence", "dog"), some) is None and answer(Query("count", "cup"), some) is None


NAMELESS = ("other", "others", "Misc", "background", "object", "n01751330", "2000", "class_3", "None")


@pytest.mark.parametrize("label", NAMELESS)
def test_what_is_left_over_is_not_asked_about(label: str) -> None:
    contents = Contents((Box(10, 40, 30, 60, label, "red"), BUS), SIZE)
    asked = list(queries(contents, [label, "bus", "dog"], np.random.default_rng(0)))
    assert asked and not [query for query in asked if label in query.labels]
    assert answer(Query("existence", "dog"), contents) == "no"


LEFT_OPEN = ("ignored regions", "DontCare", "dont_care", "Don't care", "ignore", "void", "unlabeled")


@pytest.mark.parametrize("label", LEFT_OPEN)
def test_where_nobody_looked_anything_may_be(label: str) -> None:
    contents = Contents((CUP, BUS, Box(0, 0, 9, 9, label)), SIZE)
    assert answer(Query("existence", "dog"), contents) is None and answer(Query("count", "cup"), contents) is None
    assert answer(Query("existence", "cup"), contents) == "yes"
    assert {query.kind for query in queries(contents, [label, "dog"], np.random.default_rng(0))} >= {"relation", "side"}
    assert not [q for q in queries(contents, [label, "dog"], np.random.default_rng(0)) if label in q.labels]


def test_labels_are_said_as_words() -> None:
    pots = [Box(30 * n, 40, 30 * n + 20, 60, f"potted_plant_{letter}") for n, letter in enumerate("abcd")]
    query = Query("nearest", "potted_plant_a", ("potted_plant_b", "potted_plant_d"))
    asked = ask(query, Contents(tuple(pots), SIZE), np.random.default_rng(0))
    assert asked.text == "Which of these is nearest to the potted plant a?"
    assert sorted(asked.options) == ["potted plant b", "potted plant d"]
    assert asked.options[asked.answer] == "potted plant b"
    twins = Query("nearest", "potted_plant_a", ("potted_plant_b", "potted plant_b"))
    assert answer(twins, Contents((*pots[:2], Box(150, 40, 170, 60, "potted plant_b")), SIZE)) is None


def test_truncated_and_tiny_objects_are_not_compared() -> None:
    cut, tiny = Box(0, 40, 30, 60, "cat"), Box(80, 40, 84, 44, "ball")
    asked = list(queries(Contents((cut, tiny, BUS), SIZE), [], np.random.default_rng(0)))
    assert not any(q.kind in ("relation", "side", "nearest") and {"cat", "ball"} & set(q.labels) for q in asked)
    assert any(q.kind == "existence" and q.subject == "cat" for q in asked)


BOXES = st.lists(
    st.builds(
        lambda x, y, w, h, label, colour: Box(x, y, x + w, y + h, label, colour),
        st.integers(0, 150),
        st.integers(0, 60),
        st.integers(8, 50),
        st.integers(8, 40),
        st.sampled_from(["cup", "bus", "dog", "cat", "bowl"]),
        st.sampled_from(["", "red", "blue", "mauve"]),
    ),
    max_size=6,
)


@given(BOXES, st.integers(0, 1000))
def test_every_question_has_one_right_option_and_its_boxes(boxes: list[Box], seed: int) -> None:
    contents, labels = Contents(tuple(boxes), SIZE), ["cup", "bus", "dog", "cat", "bowl", "vase"]
    asked = list(queries(contents, labels, np.random.default_rng(seed)))
    assert len(set(asked)) == len(asked)
    for query in asked:
        question = ask(query, contents, np.random.default_rng(seed))
        assert question.options[question.answer] == answer(query, contents)
        assert len(set(question.options)) == len(question.options) >= 2
        assert set(protected(query, contents)) <= set(boxes)
        assert keeps_answer(query, contents, contents)
        if query.kind == "count":
            assert len(question.options) == COUNT_OPTIONS and all(int(o) >= 1 for o in question.options)
        if query.kind == "colour":
            assert set(question.options) <= set(COLOURS)
    again = list(queries(contents, labels, np.random.default_rng(seed)))
    assert again == asked


def test_articles() -> None:
    assert [with_article(w) for w in ("red cup", "orange", "Apple")] == ["a red cup", "an orange", "an Apple"]
