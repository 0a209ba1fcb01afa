"""A judge's scores: free of the reader's habits, never a number where nothing was read; and questions it agrees on."""

from __future__ import annotations

import numpy as np
import pytest

from aot.errors import AotError
from aot.forge.grow import GrowSettings, grow, questions_in
from aot.game.judge import GAP_PX, Judge, JudgeSettings, judge_key, open_judge, question_of, side_by_side
from aot.players.base_players import player_folder
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.writer import QwenWriter
from aot.prompts import JUDGE_QUESTIONS
from aot.types import Answer, Question
from aot.world.scenes import draw_scenes
from fault_server import FaultServer

FIELDS = {"object": "cup", "instruction": "Add a cup.", "question": "Where?", "answer": "left", "given": "Left."}


class Habitual:
    """Finds bright images true, and adds a liking for option A and for the left of two images."""

    name = "habitual"

    def __init__(self, letter: float = 0.0, left: float = 0.0, mute: bool = False):
        self.letter, self.left, self.mute = letter, left, mute
        self.asked: list[Question] = []

    def option_logprobs(self, images, questions):
        self.asked += questions
        return [np.log(self._shares(i, q)) for i, q in zip(images, questions, strict=True)]

    def answer(self, images, questions, *, k=1, temperature=0.0, seed=0):
        rng, given = np.random.default_rng(seed), []
        for image, question in zip(images, questions, strict=True):
            drawn = rng.choice(len(question.options), k, p=self._shares(image, question))
            given.append(tuple(Answer("", None, "error") if self.mute else Answer("", int(i)) for i in drawn))
        return given

    def _shares(self, image, question):
        if question.options == ("left", "right"):
            half = image.shape[1] // 2
            likes = image[:, :half].mean() / 255 + self.left, image[:, half:].mean() / 255
        else:
            yes = image.mean() / 255
            likes = tuple(yes if option == "yes" else 1 - yes for option in question.options)
            likes = (likes[0] + self.letter, *likes[1:])
        return np.array(likes) / sum(likes)


def image(level: int) -> np.ndarray:
    return np.full((20, 30, 3), level, np.uint8)


@pytest.mark.parametrize("criterion", JUDGE_QUESTIONS)
def test_every_criterion_has_its_question(criterion: str) -> None:
    text = question_of(criterion, FIELDS)
    assert "{" not in text and text.endswith("?")
    reader = Habitual()
    scores = Judge(reader).score(criterion, [image(51), image(204)], [FIELDS] * 2)
    np.testing.assert_allclose(scores, [0.2, 0.8])
    assert {q.options for q in reader.asked} == {("yes", "no"), ("no", "yes")}


def test_a_liking_for_a_letter_or_a_side_cancels() -> None:
    grey = image(128)
    fair, biased = Judge(Habitual()), Judge(Habitual(letter=0.7, left=0.7))
    for judge in (fair, biased):
        assert judge.score("realism", [grey])[0] == pytest.approx(0.5, abs=0.01)
        assert judge.prefer("realism", [grey], [grey])[0] == pytest.approx(0.5, abs=0.05)
        forth = judge.prefer("realism", [image(200)], [image(50)])[0]
        back = judge.prefer("realism", [image(50)], [image(200)])[0]
        assert forth > 0.5 and forth + back == pytest.approx(1)


def test_by_samples() -> None:
    judge = Judge(Habitual(), by="samples", k=400)
    np.testing.assert_allclose(judge.score("realism", [image(51), image(204)]), [0.2, 0.8], atol=0.06)


def test_what_cannot_be_read_is_no_verdict() -> None:
    judge = Judge(Habitual(mute=True), by="samples")
    assert np.isnan(judge.score("realism", [image(255)])).all()
    (finding,) = judge.findings("realism", [image(255)])
    assert not finding.passed and finding.reason == "unjudged"
    passed, refused = Judge(Habitual()).findings("realism", [image(204), image(51)])
    assert passed.passed and passed.reason == "" and refused.reason == "realism"


def test_pairs_are_shown_side_by_side() -> None:
    both = side_by_side(image(10), np.zeros((40, 10, 3), np.uint8))
    assert both.shape == (40, 30 + GAP_PX + 10, 3)
    assert (both[:20, :30] == 10).all() and (both[20:, :38] == 255).all() and (both[:, 38:] == 0).all()
    dark = Judge(Habitual()).score("instruction_followed", [image(0)], [FIELDS], before=[image(0)])
    assert 0 < dark[0] < 0.2


def test_mistakes_are_named() -> None:
    with pytest.raises(AotError, match=r"no such criterion: .realsim"):
        Judge(Habitual()).score("realsim", [image(0)])
    with pytest.raises(AotError, match="needs the field 'object'"):
        Judge(Habitual()).score("duplication", [image(0)])
    assert len(Judge(Habitual()).score("realism", [])) == 0


def test_the_defender_can_judge_and_write() -> None:
    """The classes fit: the miniature understands neither, but scores and texts come out."""
    defender = QwenDefender.load(player_folder("miniature", "defender"))
    images = [scene.image for scene in draw_scenes(2, 5)]
    for judge in (Judge(defender), Judge(defender, by="samples")):
        scores = judge.score("realism", images)
        assert scores.shape == (2,) and ((scores >= 0) & (scores <= 1) | np.isnan(scores)).all()
    writer = QwenWriter(defender, max_new_tokens=5)
    once = writer.write(images, ["Is there a cup?"] * 2, k=3, temperature=1.0, seed=1)
    assert once == writer.write(images, ["Is there a cup?"] * 2, k=3, temperature=1.0, seed=1)
    assert [len(texts) for texts in once] == [3, 3] and all(isinstance(t, str) for texts in once for t in texts)
    greedy = writer.write(images, ["Is there a cup?"] * 2, k=2)
    assert all(a == b for a, b in greedy)


# Questions for images without.

WRITTEN = """Here they are.
Question: What colour is the bus?
A. red
B. blue
Answer: B

**Question 2:** Where is the cup?
A) left
B) right
**Answer:** (A)

Question: What colour is the bus?
A. red
B. blue
Answer: A

Question: How many?
A. 1
Answer: A

Question: Which?
A. x
B. y
Answer: D

Question: nothing else
"""


def test_questions_are_read_from_text() -> None:
    found = questions_in(WRITTEN)
    right = [(q.text, q.options[q.answer]) for q in found if isinstance(q, Question)]
    bus = "What colour is the bus?"
    assert right == [(bus, "blue"), ("Where is the cup?", "left"), (bus, "red")]
    assert [q for q in found if isinstance(q, str)] == ["bad_options", "answer_not_among_options", "malformed"]
    assert questions_in("") == []


class Scribe:
    name = "scribe"

    def write(self, images, prompts, *, k=1, temperature=0.0, seed=0):
        return [(WRITTEN,)] * len(images)


class Reader:
    """Knows the bus; about the cup it says whatever comes first; may be mute."""

    name = "reader"

    def __init__(self, mute: bool = False):
        self.mute = mute

    def answer(self, images, questions, *, k=1, temperature=0.0, seed=0):
        return [((self._one(q)),) for q in questions]

    def _one(self, question):
        if self.mute:
            return Answer("", None, "truncated")
        return Answer("", question.options.index("blue") if "blue" in question.options else 0)


def test_questions_stay_on_which_readings_agree() -> None:
    settings = GrowSettings(readings=8)
    kept, funnel = grow([image(0), image(9)], Scribe(), Reader(), settings, seed=0)
    assert [(g.image, g.question.text, g.agreement) for g in kept] == [
        (0, "What colour is the bus?", 1.0),
        (1, "What colour is the bus?", 1.0),
    ]
    counts = funnel.as_json()
    refused = {"answer_not_among_options": 2, "asked_before": 2, "bad_options": 2, "disagreed": 2, "malformed": 2}
    assert counts == {"grow": {"in": 12, "kept": 2, "refused": refused}}
    none, funnel = grow([image(0)], Scribe(), Reader(mute=True), settings, seed=0)
    assert none == [] and funnel.as_json()["grow"]["refused"]["unreadable"] == 2


@pytest.mark.parametrize(("said", "score"), [("yes", 1.0), ("no", 0.0), ("A", 0.5), ("mist", float("nan"))])
def test_a_judge_behind_a_url(said: str, score: float) -> None:
    """An always-"A" judge has no opinion; what it says instead of an answer is none, either."""
    with FaultServer(lambda content, body: said) as server:
        settings = JudgeSettings(player=server.url, model="mini", by="samples", k=2)
        judge = open_judge(settings)
        assert judge is not None
        given = judge.score("realism", [np.zeros((8, 8, 3), np.uint8)])
    assert given == pytest.approx([score], nan_ok=True)
    assert judge_key(settings)["player"] == server.url
