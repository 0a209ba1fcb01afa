"""The curriculum: what is let in, in which shares, and that it is a function of its arguments."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aot.data.episodes.curriculum import CLEAN, CurriculumRow, CurriculumSettings, build_curriculum, hard_rows
from aot.types import Answer, Attack, Episode, Finding, Question, Scene, Verdict

IMAGE = np.zeros((8, 8, 3), np.uint8)
TYPES = ("relation", "side", "colour", "existence")


def scene(i: int, kind: str = "side") -> Scene:
    return Scene(f"scene-{i}", IMAGE, Question("Which?", ("left", "right"), 0, kind))


def episode(
    i: int, *, wrong: int = 2, k: int = 4, valid: bool = True, kind: str = "side", status="answered"
) -> Episode:
    answers = tuple(Answer("", int(j < wrong) if status == "answered" else None, status) for j in range(k))
    verdict = Verdict((Finding("ssim", valid, 1.0),))
    return Episode(scene(i, kind), Attack(f"scene-{i}", "iteration_1", "any", IMAGE), verdict, (), answers)


def test_only_valid_episodes_inside_the_range_get_in_and_the_rest_is_counted():
    chosen = CurriculumSettings(min_fooled=0.25, max_fooled=0.75, clean_share=0, earlier_share=0)
    episodes = [episode(0), episode(1, valid=False), episode(2, wrong=0), episode(3, wrong=4), episode(4, wrong=1)]
    episodes.append(episode(5, status="error"))
    curriculum = build_curriculum(episodes, [], [], chosen, seed=0)
    assert {row.scene_id for row in curriculum.rows} == {"scene-0", "scene-4"}
    expected = {"episodes": 6, "usable": 2, "invalid": 1, "too_easy": 1, "hopeless": 1, "unanswered": 1}
    assert curriculum.counts == expected | {"rows/iteration_1": 2}
    assert all(row.image is not None and row.fooled_fraction in (0.5, 0.25) for row in curriculum.rows)


def test_shares_are_kept_and_balanced_over_question_types():
    episodes = [episode(i, kind=TYPES[0] if i < 200 else TYPES[i % 4]) for i in range(300)]
    clean = [scene(i) for i in range(500)]
    earlier = [CurriculumRow(f"e{i}", IMAGE, scene(i).question, "iteration_0") for i in range(500)]
    earlier.append(CurriculumRow("not-an-attack", IMAGE, scene(0).question))
    rows = build_curriculum(
        episodes, clean, earlier, CurriculumSettings(rows=80, easy_share=0, earlier_share=0.25), seed=3
    ).rows
    assert Counter(row.source for row in rows) == {"iteration_1": 40, "iteration_0": 20, CLEAN: 20}
    kinds = Counter(row.question.kind for row in rows if row.source == "iteration_1")
    assert set(kinds.values()) == {10}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(1, 60), st.integers(0, 9))
def test_no_row_twice_and_never_more_rows_than_asked(n_episodes, n_clean, n_earlier, rows, seed):
    episodes = [episode(i, kind=TYPES[i % 3]) for i in range(n_episodes)]
    clean = [scene(1000 + i) for i in range(n_clean)]
    earlier = [CurriculumRow(f"e{i}", IMAGE, scene(i).question, "iteration_0") for i in range(n_earlier)]
    made = [build_curriculum(episodes, clean, earlier, CurriculumSettings(rows=rows), seed=seed) for _ in "ab"]
    ids = [row.scene_id for row in made[0].rows]
    assert len(set(ids)) == len(ids) <= rows
    assert ids == [row.scene_id for row in made[1].rows]
    if n_episodes + n_clean >= rows:
        assert len(ids) == rows


def test_without_a_row_number_all_usable_episodes_are_used():
    clean = [scene(1000 + i) for i in range(100)]
    rows = build_curriculum(
        [episode(i) for i in range(30)], clean, [], CurriculumSettings(easy_share=0, earlier_share=0.25), seed=0
    ).rows
    assert Counter(row.source for row in rows) == {"iteration_1": 30, CLEAN: 15}


@pytest.mark.parametrize(
    "bad", [{"min_fooled": 0.8, "max_fooled": 0.2}, {"clean_share": 0.6, "earlier_share": 0.4}]
)
def test_settings_that_contradict_themselves_are_refused(bad):
    with pytest.raises(ValidationError):
        CurriculumSettings(**bad)


def test_withstood_attacks_have_a_share_of_their_own():
    episodes = [episode(i) for i in range(60)] + [episode(100 + i, wrong=0) for i in range(60)]
    settings = CurriculumSettings(clean_share=0, easy_share=0.25, earlier_share=0)
    rows = build_curriculum(episodes, [], [], settings, seed=0).rows
    assert Counter(row.fooled_fraction for row in rows) == {0.5: 60, 0.0: 20}


def test_later_curricula_keep_only_what_was_hard():
    episodes = [episode(i) for i in range(6)] + [episode(100 + i, wrong=0) for i in range(6)]
    kept = hard_rows(episodes, CurriculumSettings())
    assert [row.scene_id for row in kept] == [b.scene.id for b in episodes[:6]]
    rows = build_curriculum([], [], kept, CurriculumSettings(rows=4), seed=0).rows
    assert len(rows) == 4
    assert {row.fooled_fraction for row in rows} == {0.5}
