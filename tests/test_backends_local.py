"""A model in this process: the miniature answers as its own player does, any other multimodal folder answers at all;
and backends as defenders."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
from aot.backends.asking.ask_all import ask_all
from aot.backends.asking.defender import BackendDefender, gold_answers
from aot.backends.base.backend import Ask, Reply, Sampling
from aot.backends.base.pictures import png
from aot.backends.base.scripted import ScriptedBackend
from aot.backends.local.backend import LocalBackend
from aot.backends.openai.backend import OpenAiBackend
from aot.backends.opening import open_backend, open_defender
from aot.errors import AotError
from aot.game.judge import Judge
from aot.players.base import Defender
from aot.players.base_players import player_folder
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.token_sampling import InverseTransformSampling
from aot.prompts import question_prompt
from aot.world.scenes import draw_scenes
from fault_server import FaultServer, backed_by

FOLDER = player_folder("miniature", "defender")
SCENES = draw_scenes(40, seed=7)
IMAGES, QUESTIONS = [s.image for s in SCENES], [s.question for s in SCENES]
GREEDY, SHORT = Sampling(), Sampling(max_new_tokens=12)


@pytest.fixture(scope="module")
def backend() -> LocalBackend:
    return LocalBackend(FOLDER, batch=16)


@pytest.fixture(scope="module")
def player() -> QwenDefender:
    return QwenDefender.load(FOLDER)


def asks(n: int = 40) -> list[Ask]:
    return [Ask(s.id, (png(s.image), question_prompt(s.question))) for s in SCENES[:n]]


def texts(backend: LocalBackend, asked: list[Ask], sampling: Sampling) -> dict[str, str]:
    return {ask.id: reply.text for ask, reply in backend.ask(asked, sampling)}


def test_the_miniature_answers_as_its_player(backend: LocalBackend, player: QwenDefender) -> None:
    replies = {ask.id: reply for ask, reply in backend.ask(asks(), SHORT)}
    expected = player.answer(IMAGES, QUESTIONS)
    assert [replies[s.id].text for s in SCENES] == [answers[0].text for answers in expected]
    assert {reply.status for reply in replies.values()} == {"answered"}
    one = replies[SCENES[0].id]
    assert one.visual_tokens == 16 and one.completion_tokens == 3 and one.prompt_tokens and one.prompt_tokens > 16


def test_probabilities_are_the_players(backend: LocalBackend, player: QwenDefender) -> None:
    defender = BackendDefender(backend, SHORT, completions=gold_answers)
    assert isinstance(defender, Defender)
    given, expected_of = (one.answer_with_logprobs(IMAGES[:12], QUESTIONS[:12]) for one in (defender, player))
    for (answer, logprobs), (expected, log) in zip(given, expected_of, strict=True):
        assert answer == expected
        np.testing.assert_allclose(np.exp(logprobs), np.exp(log), atol=1e-5)


def test_probabilities_do_not_depend_on_what_was_asked_before(backend: LocalBackend) -> None:
    text = Ask("text", ("Which cup is left?",), ("left \\boxed{A}", "no", "a red one \\boxed{B}"))
    image = dataclasses.replace(asks(1)[0], options=text.options)
    order = [text, image, text]
    first, _, again = (next(backend.ask([ask], SHORT))[1].probabilities for ask in order)
    assert first == again and first is not None and sum(first) == pytest.approx(1)
    alone = [next(backend.ask([dataclasses.replace(text, options=(o, "no"))], SHORT))[1] for o in text.options]
    for i in (0, 2):  # the odds of two options are the same whoever else is asked about
        p = alone[i].probabilities
        assert p is not None and p[0] / p[1] == pytest.approx(first[i] / first[1], rel=1e-3)


def test_samples_depend_on_seed_trial_and_content_alone(backend: LocalBackend) -> None:
    drawn = Sampling(temperature=1.5, max_new_tokens=12, seed=3)
    several = [dataclasses.replace(ask, id=f"{ask.id}.{t}", trial=t) for ask in asks(8) for t in range(2)]
    together = texts(backend, several, drawn)
    backend.batch = 3
    assert texts(backend, several[::-1], drawn) == together
    backend.batch = 16
    assert texts(backend, several, dataclasses.replace(drawn, seed=4)) != together
    assert any(together[f"{ask.id}.0"] != together[f"{ask.id}.1"] for ask in asks(8))


def test_picking_draws_from_the_distribution_within_top_p() -> None:
    scores = torch.tensor([[2.0, 1.0, 0.0, 5.0]]).expand(4000, 4)
    draws = torch.linspace(0, 1 - 1e-6, 4000)[:, None]
    picked = InverseTransformSampling(2.0, 0.8, draws, 7, [3])(torch.zeros(4000, 7), scores).argmax(-1)
    p = torch.tensor([1.0, 0.5]).exp()  # the third is beyond 0.8, the fourth is never said
    np.testing.assert_allclose(torch.bincount(picked, minlength=4) / 4000, [*(p / p.sum()), 0, 0], atol=0.001)
    assert (InverseTransformSampling(0.0, 1.0, draws, 7, [3])(torch.zeros(4000, 7), scores).argmax(-1) == 0).all()


def test_odd_questions_are_their_own_replies(backend: LocalBackend) -> None:
    image = png(IMAGES[0])
    odd = [
        Ask("two", (image, "Look", image, "and?")),
        Ask("none", ("Hello",)),
        Ask("placeholder", (image, "a <|image_pad|> here")),
        Ask("broken", (b"x", "What?")),
        Ask("cut", (image[:300], "What?")),
        Ask("strip", (png(np.zeros((2, 900, 3), np.uint8)), "What?")),
    ]
    given = {ask.id: reply for ask, reply in backend.ask([*odd, *asks(2)], Sampling(max_new_tokens=2))}
    assert given["two"].visual_tokens == 32 and given["none"].visual_tokens == 0
    assert {i: given[i].error.split(":")[0] for i in ("placeholder", "broken", "cut", "strip")} == {
        "placeholder": "control_token",
        "broken": "unreadable_image",
        "cut": "unreadable_image",
        "strip": "unreadable_image",
    }
    assert given[SCENES[0].id].status == given["two"].status == "truncated"  # the limit is two tokens
    capped = [r for _, r in backend.ask(asks(1), Sampling(max_new_tokens=2, max_pixels=32 * 32))]
    assert capped[0].visual_tokens == 4


def test_out_of_memory_halves_the_batch(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, generate, fits = texts(backend, asks(20), SHORT), backend._generate, 2

    def crowded(prompts, sampling):
        if len(prompts) > fits:
            raise torch.OutOfMemoryError("too much")
        return generate(prompts, sampling)

    monkeypatch.setattr(backend, "_generate", crowded)
    assert texts(backend, asks(20), SHORT) == expected and backend.batch == 2
    fits = 0
    with pytest.raises(AotError, match="does not fit"):
        texts(backend, asks(20), SHORT)
    backend.batch = 16


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained model of another family, with a decoding habit in its folder."""
    folder = tmp_path_factory.mktemp("models") / "llava"
    tiny_models.llava(folder)
    return folder


def scored_apart(backend: LocalBackend, ask: Ask) -> list[float]:
    """The options' probabilities by one whole forward pass each, nothing shared."""
    scores = []
    for option in ask.options:
        inputs = backend._inputs([backend._prompt(ask, GREEDY)])  # type: ignore[list-item]
        end = torch.tensor([[*backend.tokenizer(option).input_ids, backend.eos_ids[0]]])
        ids = torch.cat([inputs.pop("input_ids"), end], 1)
        logits = backend.model(**inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).logits
        logprobs = logits[0, -end.shape[1] - 1 : -1].log_softmax(-1)
        scores.append(float(logprobs.gather(-1, end.T).sum()))
    return torch.tensor(scores).softmax(-1).tolist()


def test_another_family_of_models_answers_whatever_the_batch(llava: Path) -> None:
    backend = LocalBackend(llava, batch=4)
    asked = [
        Ask(str(i), (png(IMAGES[i]), "which cup" + " is red" * i, *[png(IMAGES[0])] * (i % 3 == 0)), ("red", "A"))
        for i in range(7)
    ] + [Ask("no image", ("hello",), ("red", "A"))]
    together = {ask.id: reply for ask, reply in backend.ask(asked, Sampling(max_new_tokens=6))}
    backend.batch = 1
    for ask, reply in backend.ask(asked, Sampling(max_new_tokens=6)):
        assert reply.text == together[ask.id].text
        assert reply.probabilities == pytest.approx(scored_apart(backend, ask), abs=1e-5)
        assert reply.visual_tokens == 4 * sum(isinstance(part, bytes) for part in ask.content)
    assert backend.model.generation_config.repetition_penalty in (None, 1.0)


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def with_half_the_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def with_pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    "damage", [without_config, without_weights, with_half_the_weights, with_pickled_weights, without_tokenizer]
)
def test_a_folder_that_is_no_model_says_so(damage, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    damage(folder)
    with pytest.raises(AotError, match="next: ") as error:
        open_backend(str(folder))
    assert str(folder) in str(error.value)


def test_changed_weights_are_another_model(backend: LocalBackend, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    assert LocalBackend(folder).identity == backend.identity
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert LocalBackend(folder).identity != backend.identity


# --- as defenders -----------------------------------------------------------------------------------------------------


def test_a_server_plays_as_the_model_behind_it(backend: LocalBackend, player: QwenDefender) -> None:
    with FaultServer(backed_by(backend), rate=0.3, faults=["429", "500", "truncated_json", "empty"]) as server:
        defender = open_defender(server.url, "mini")
        assert isinstance(defender, BackendDefender) and isinstance(defender.backend, OpenAiBackend)
        defender.backend.backoff_s, defender.sampling = 0.01, SHORT
        given = defender.answer(IMAGES[:12], QUESTIONS[:12], k=2)
    assert given == player.answer(IMAGES[:12], QUESTIONS[:12], k=2)
    assert defender.counts.asked == 12 and defender.counts.faults


def test_statuses_are_carried_over() -> None:
    said = iter(
        [
            Reply("I think \\boxed{B}"),
            Reply("hm"),
            Reply("A..", "truncated"),
            Reply("", "refused", "No."),
            Reply("", "error", "500: no"),
        ]
    )
    defender = BackendDefender(ScriptedBackend(lambda _: next(said)))
    answers = [a for (a,) in defender.answer(IMAGES[:5], [dataclasses.replace(QUESTIONS[0], options=("x", "y"))] * 5)]
    assert [(a.status, a.choice) for a in answers] == [
        ("answered", 1),
        ("unparsed", None),
        ("truncated", None),
        ("refused", None),
        ("error", None),
    ]
    assert [a.text for a in answers[3:]] == ["No.", "500: no"]


def test_a_backend_judges_by_samples_or_probabilities() -> None:
    def bright(ask: Ask) -> Reply:
        yes = "ABC"["A. yes" not in str(ask.content[1])]
        return Reply(f"\\boxed{{{yes}}}", probabilities=(0.8, 0.2) if yes == "A" else (0.2, 0.8))

    backend = ScriptedBackend(bright)
    assert Judge(BackendDefender(backend), by="samples", k=3).score("realism", IMAGES[:2]).tolist() == [1.0, 1.0]
    assert len(backend.asked) == 2 * 2 * 3
    np.testing.assert_allclose(Judge(BackendDefender(backend)).score("realism", IMAGES[:2]), 0.8)
    mute = BackendDefender(ScriptedBackend(lambda _: Reply("", "error", "down")))
    assert np.isnan(Judge(mute).score("realism", IMAGES[:2])).all()


def test_names_are_opened(tmp_path: Path) -> None:
    assert isinstance(open_backend("miniature"), LocalBackend) and isinstance(open_defender("miniature"), QwenDefender)
    shutil.copytree(FOLDER, tmp_path / "mine")
    assert open_defender(str(tmp_path / "mine")).name == "mine"
    with FaultServer(lambda *_: "A", models=("first", "second")) as server:
        with pytest.raises(AotError, match=r"which of the server's models(.|\n)*first, second"):
            open_backend(server.url)
        url = server.url
    with pytest.raises(AotError, match="nobody answers"):
        open_backend(url)
    with pytest.raises(AotError, match="only a URL"):
        open_backend("miniature", model="m")
    with pytest.raises(AotError, match=r"config\.json is missing"):
        open_defender("/nowhere/at/all")
    given = list(ask_all(open_backend("miniature"), asks(2), SHORT))
    assert [reply.status for _, reply in given] == ["answered"] * 2


def test_importing_backends_is_light() -> None:
    code = (
        "import sys, aot.backends.asking.ask_all, aot.backends.opening;"
        "import aot.backends.base.scripted, aot.backends.asking.defender;"
        "print(*{'torch', 'transformers', 'openai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
