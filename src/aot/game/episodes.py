"""One episode of the game: attack, verdict, answers, reward. No optimizer, no disk, no command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aot.game.judge import Judge, judge_attacks
from aot.game.referee import RefereeLike
from aot.players.base import Attacker, Defender
from aot.rl.rewards import AttackReward, attack_reward
from aot.runs.progress import ANSWERS, part
from aot.types import Answer, Attack, EditKind, Episode, Scene


def play(
    scenes: Sequence[Scene],
    attacker: Attacker,
    referee: RefereeLike,
    defender: Defender,
    *,
    k: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
    kind: EditKind = "any",
    clean_answers: Sequence[tuple[Answer, ...]] | None = None,
    reward: AttackReward | None = None,
    judge: Judge | None = None,
) -> list[Episode]:
    """One episode a scene, in order: the attacker edits, then `play_attacks`. Same arguments: same episodes."""
    attacks = attacker.attack(scenes, seed=seed, kind=kind)
    return play_attacks(
        scenes,
        attacks,
        referee,
        defender,
        k=k,
        temperature=temperature,
        seed=seed,
        clean_answers=clean_answers,
        reward=reward,
        judge=judge,
    )


def play_attacks(
    scenes: Sequence[Scene],
    attacks: Sequence[Attack],
    referee: RefereeLike,
    defender: Defender,
    *,
    k: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
    clean_answers: Sequence[tuple[Answer, ...]] | None = None,
    reward: AttackReward | None = None,
    ask_refused: bool = True,
    judge: Judge | None = None,
    streams: Sequence[int] | None = None,
) -> list[Episode]:
    """Episodes of attacks already made; `attacks[i]` is against `scenes[i]` (a scene may occur several times).

    Every attack gets a verdict and `k` answers at `temperature` (without `ask_refused`, only the valid ones
    are shown to the defender). `clean_answers`: answers to the unattacked images where they are known
    already; else one greedy answer each is asked for. `reward`: also fill `Episode.rewards`; `judge`: scores attacks
    where the reward has terms for that. `streams`: one for each attack, as in `Defender.answer`.
    """
    verdicts = referee.judge(scenes, attacks)
    clean = greedy_answers(scenes, defender) if clean_answers is None else list(clean_answers)
    asked = [i for i, v in enumerate(verdicts) if ask_refused or v.valid]
    images, questions = [attacks[i].image for i in asked], [scenes[i].question for i in asked]
    logprobs: dict[int, float] = {}
    given: Sequence[tuple[Answer, ...]] = []
    if asked and reward and reward.efficacy == "log_odds" and temperature == 0:
        with part(ANSWERS, len(asked)):
            weighed = defender.answer_with_logprobs(images, questions)
        given = [(answer,) * k for answer, _ in weighed]
        logprobs = {i: float(logs[scenes[i].question.answer]) for i, (_, logs) in zip(asked, weighed, strict=True)}
    elif asked:
        with part(ANSWERS, len(asked) * (k if temperature else 1)):
            own = {"streams": [streams[i] for i in asked]} if streams is not None and temperature > 0 else {}
            given = defender.answer(images, questions, k=k, temperature=temperature, seed=seed, **own)
    answers: list[tuple[Answer, ...]] = [() for _ in scenes]
    for i, one in zip(asked, given, strict=True):
        answers[i] = tuple(one)
    episodes = [
        Episode(scene, attack, verdict, tuple(before), after)
        for scene, attack, verdict, before, after in zip(
            scenes, attacks, verdicts, clean, answers, strict=True
        )
    ]
    return with_rewards(episodes, defender, reward, logprobs, judge=judge) if reward else episodes


def greedy_answers(scenes: Sequence[Scene], defender: Defender) -> list[tuple[Answer, ...]]:
    """The defender's greedy answer to each clean image; an (image, question) that repeats is asked once."""
    first: dict[tuple[int, int], int] = {}
    keys = [(id(s.image), id(s.question)) for s in scenes]
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    unique = list(first.values())
    with part(ANSWERS, len(unique), "answers to clean images"):
        answers = defender.answer([scenes[i].image for i in unique], [scenes[i].question for i in unique])
    by_scene = dict(zip(unique, answers, strict=True))
    return [by_scene[first[key]] for key in keys]


def with_rewards(
    episodes: Sequence[Episode],
    defender: Defender,
    settings: AttackReward,
    known: Mapping[int, float] | None = None,
    *,
    judge: Judge | None = None,
) -> list[Episode]:
    """The same episodes with the attacker's reward and its breakdown (`attack_reward`).

    The defender is asked for the right option's log-probability (nats) only where the settings grade by log-odds, the
    attack is valid, and `known` (by position of the episode) does not have it. A `judge` scores valid attacks only, and
    only where the reward has terms for that. Raises `AotError` where it has and there is no judge.
    """
    logprobs = dict(known or {})
    if settings.efficacy == "log_odds":
        asked = [i for i, b in enumerate(episodes) if b.verdict.valid and i not in logprobs]
        questions = [episodes[i].scene.question for i in asked]
        options = defender.option_logprobs([episodes[i].attack.image for i in asked], questions) if asked else []
        logprobs |= {i: float(row[q.answer]) for i, q, row in zip(asked, questions, options, strict=True)}
    judged = judge_attacks(judge, episodes, settings.judge)
    rewarded = []
    for i, episode in enumerate(episodes):
        right = episode.scene.question.answer
        # A refused attack gets no reward, whatever the defender answers.
        rewards = attack_reward(
            episode.verdict, episode.answers, right, settings, right_logprob=logprobs.get(i, 0.0), judged=judged[i]
        )
        rewarded.append(replace(episode, rewards=rewards))
    return rewarded
