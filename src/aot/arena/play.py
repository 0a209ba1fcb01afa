"""Makes the arena's cells: every attacker attacks the held-out scenes, every defender answers. What stands is kept.

A cell of the first run itself was made when the run was evaluated, from the same weights, scenes and seeds: it is taken
over from there. Draw 0 of an attacker is that of the run's evaluation, later draws have seeds of their own; so the
draws of a budget are the first ones of every larger budget. *Ours.*
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from aot.arena.cells import ANSWERS, ATTACKS, AnswerCell, AttackCell, CellStore, scenes_digest
from aot.arena.pool import Pool, PoolAttacker, PoolDefender, final_defenders
from aot.arena.scripted import RANDOM, open_scripted
from aot.arena.settings import ArenaSettings
from aot.arena.taken_over import answers_of_run, attacks_of_run
from aot.arena.white_box import open_white_box
from aot.attacks.base import referees
from aot.coevolve.chunks import Chunk, chunks, in_chunks
from aot.coevolve.evaluation import AttackSet, attack_all, evaluate, evaluate_attacked
from aot.coevolve.scenes import Game, stage_seed
from aot.data.records import load_episodes, save_episodes
from aot.game.referee import Referee
from aot.players.attacker.opening import open_attacker
from aot.players.base import Attacker
from aot.players.defender.opening import open_defender
from aot.players.defender.trained import TrainedDefender
from aot.runs.files import canonical_hash, read_json, write_json
from aot.runs.progress import duration, titled
from aot.types import Episode, Scene

WORK = "work"
"""Folder for the chunks of a cell that is being made."""


@dataclass(frozen=True)
class Meeting:
    """One cell of attacks that defenders are asked about: draw `draw` (from 0) of the attacker; `against`: the defender
    whose gradients a white-box attacker has."""

    attacker: PoolAttacker
    draw: int = 0
    against: PoolDefender | None = None


@dataclass
class Play:
    """Plays the pool on `scenes`, held-out ones of the first run, into the cells of `store`."""

    pool: Pool
    game: Game
    scenes: Sequence[Scene]
    settings: ArenaSettings
    store: CellStore
    say: Callable[[str], None]
    _open: dict[str, tuple[str, Any]] = field(default_factory=dict)
    _digests: dict[int, str] = field(default_factory=dict)
    _contents: dict[str, str] = field(default_factory=dict)
    """Of the attack cells that this process has read or made, by key."""

    @property
    def seed(self) -> int:
        return self.pool.runs[0].recipe.seed

    @property
    def asked_often(self) -> list[PoolDefender]:
        """The defenders that answer to more than one draw."""
        return final_defenders(self.pool) if self.settings.draws > 1 else []

    def scenes_of(self, draw: int) -> Sequence[Scene]:
        """Draws after the first are on the first few scenes only."""
        return self.scenes[: self.settings.budget_scenes] if draw else self.scenes

    def meetings(self, defender: PoolDefender | None = None) -> list[Meeting]:
        """All cells of attacks; those that the defender is asked about. A white-box attacker, which is the strongest
        that its ball allows but for its budget of steps, has one draw, and a cell for each defender."""
        draws = self.settings.draws if defender is None or defender in self.asked_often else 1
        found = []
        for attacker in self.pool.attackers:
            if attacker.kind != "white_box":
                found += [Meeting(attacker, draw) for draw in range(draws)]
            else:
                found += [Meeting(attacker, 0, one) for one in self.pool.defenders if defender in (None, one)]
        return found

    def first_draw(self, attacker: PoolAttacker, defender: PoolDefender) -> Meeting:
        """What the matrix shows of the two."""
        return Meeting(attacker, 0, defender if attacker.kind == "white_box" else None)

    def plan(self) -> list[str]:
        """What is there and what has to be made, before anything is."""
        attacks, pairs = self.meetings(), [(d, m) for d in self.pool.defenders for m in (None, *self.meetings(d))]
        there = sum(self.store.has(ATTACKS, self.attack_key(meeting)) for meeting in attacks)
        answered = sum(self.store.has(ANSWERS, self.answer_key(*pair)) for pair in pairs)
        edits = sum(len(self.scenes_of(m.draw)) for m in attacks)
        asked = sum(len(self.scenes if m is None else self.scenes_of(m.draw)) for _, m in pairs)
        first = self.pool.runs[0]
        return [
            f"arena: {len(self.pool.attackers)} attackers x {len(self.pool.defenders)} defenders on {len(self.scenes)} "
            f"held-out scenes of {first.label}",
            f"  attacks: {len(attacks)} cells, {edits:,} attacks; {there} cells are there",
            f"  answers: {len(pairs)} cells, at most {asked:,} answers; {answered} cells are there",
        ]

    def play(self) -> None:
        """Makes all cells that are missing."""
        for attacker in self.pool.attackers:
            mine = [meeting for meeting in self.meetings() if meeting.attacker is attacker]
            self._each(attacker.name, "attacks", [partial(self.attacks, meeting) for meeting in mine])
        for defender in self.pool.defenders:
            cells = [partial(self.answers, defender, m) for m in (None, *self.meetings(defender))]
            self._each(defender.name, "answers", cells)
        self._open.clear()

    def _each(self, name: str, what: str, cells: Sequence[Callable[[], AttackCell | AnswerCell]]) -> None:
        """Makes the cells of one player and says a line on it, unless all of them stood."""
        before, begun = self.store.made.total(), time.monotonic()
        for cell in cells:
            cell()
        if made := self.store.made.total() - before:
            self.say(f"  {name}: {what}, {made} of {len(cells)} cells made in {duration(time.monotonic() - begun)}")

    def attack_key(self, meeting: Meeting) -> str:
        first, attacker = self.pool.runs[0].recipe, meeting.attacker
        made_of = [attacker.identity, _seed(attacker, meeting.draw, self.seed), first.evaluation.chunk]
        judged = [attacker.rule, first.referee.model_dump(mode="json")]
        white_box = [meeting.against.digest] if meeting.against else []
        return canonical_hash([ATTACKS, made_of, judged, self._digest(meeting.draw), *white_box])

    def answer_key(self, defender: PoolDefender, meeting: Meeting | None) -> str:
        asked = self._digest(0) if meeting is None else self.attack_key(meeting)
        return canonical_hash([ANSWERS, defender.digest, asked, self.pool.runs[0].recipe.evaluation.chunk])

    def attacks(self, meeting: Meeting) -> AttackCell:
        """The cell of attacks, made where it is missing."""
        key, scenes = self.attack_key(meeting), self.scenes_of(meeting.draw)
        cell = self.store.attacks(key, scenes) or self._make_attacks(meeting, key, scenes)
        self._contents[key] = cell.content
        return cell

    def answers(self, defender: PoolDefender, meeting: Meeting | None) -> AnswerCell:
        """The cell of answers, to the clean scenes where there is no attacker; made where it is missing."""
        key, scenes, content = self.answer_key(defender, meeting), self.scenes, self._digest(0)
        if meeting is not None:
            attack_key, scenes = self.attack_key(meeting), self.scenes_of(meeting.draw)
            content = self._contents.get(attack_key) or self.attacks(meeting).content
        return self.store.answers(key, content, len(scenes)) or self._make_answers(
            defender, meeting, key, content, scenes
        )

    def _make_attacks(self, meeting: Meeting, key: str, scenes: Sequence[Scene]) -> AttackCell:
        attacker, draw = meeting.attacker, meeting.draw
        taken = attacks_of_run(self.pool.runs[0], attacker, draw, scenes, self.game)
        if taken is not None:
            return self.store.keep_attacks(key, scenes, taken, None)
        begun = time.monotonic()
        with titled(f"{attacker.name}, draw {draw + 1}"):
            made = self._attack(meeting, scenes, key)
        cell = self.store.keep_attacks(key, scenes, made, round(time.monotonic() - begun, 3))
        shutil.rmtree(self._state(key), ignore_errors=True)
        return cell

    def _make_answers(
        self, defender: PoolDefender, meeting: Meeting | None, key: str, content: str, scenes: Sequence[Scene]
    ) -> AnswerCell:
        attacker, draw = (None, 0) if meeting is None else (meeting.attacker, meeting.draw)
        taken = answers_of_run(self.pool.runs[0], defender, attacker, draw, scenes, self.game)
        if taken is not None:
            return self.store.keep_answers(key, content, AnswerCell(*taken))
        attacks = None if meeting is None else self.attacks(meeting).attacks
        begun = time.monotonic()
        with titled(f"{defender.name}: {'clean scenes' if attacker is None else attacker.name}"):
            scores, texts = self._answer(defender, scenes, attacks, key)
        seconds = round(time.monotonic() - begun, 3)
        cell = self.store.keep_answers(key, content, AnswerCell(np.array(scores, np.int8), texts, seconds))
        shutil.rmtree(self._state(key), ignore_errors=True)
        return cell

    def _attack(self, meeting: Meeting, scenes: Sequence[Scene], key: str) -> AttackSet:
        seed = _seed(meeting.attacker, meeting.draw, self.seed)
        player, referee = self._players(meeting)

        def attacked(chunk: Chunk) -> list[Episode]:
            some = chunk.of(scenes)
            made = attack_all(some, player, referee, seed=chunk.seed(seed))
            return [Episode(*each) for each in zip(some, made.attacks, made.verdicts, strict=True)]

        load = partial(load_episodes, scenes=scenes)
        found = in_chunks(self._chunks(scenes), self._state(key), attacked, save_episodes, load)
        episodes = [episode for some in found for episode in some]
        return AttackSet([e.attack for e in episodes], [e.verdict for e in episodes])

    def _answer(
        self, defender: PoolDefender, scenes: Sequence[Scene], attacks: AttackSet | None, key: str
    ) -> tuple[list[int], list[str]]:
        player = self._defender(defender)

        def answered(chunk: Chunk) -> dict[str, list[Any]]:
            some = chunk.of(scenes)
            if attacks is None:
                scores, texts = evaluate(player, some)
            else:
                scores, texts = evaluate_attacked(player, some, attacks.part(chunk.start, chunk.stop))
            return {"scores": scores.tolist(), "texts": texts}

        found = in_chunks(self._chunks(scenes), self._state(key), answered, _save, _load)
        return [s for some in found for s in some["scores"]], [t for some in found for t in some["texts"]]

    def _chunks(self, scenes: Sequence[Scene]) -> list[Chunk]:
        """As the run's own evaluation is cut, so that batches, and with them the last bits, are the same."""
        return chunks(len(scenes), self.pool.runs[0].recipe.evaluation.chunk)

    def _state(self, key: str) -> Path:
        return self.store.folder / WORK / key[:16]

    def _players(self, meeting: Meeting) -> tuple[Attacker, Referee]:
        """The attacker, and who judges it."""
        attacker = meeting.attacker
        if meeting.against is not None:
            return open_white_box(attacker, self._defender(meeting.against))
        referee = self.game.referee if attacker.rule is None else self._referees[attacker.rule]
        if attacker.folder is None or attacker.run is None:
            return open_scripted(attacker, self.settings.strengths), referee
        load = partial(open_attacker, attacker.folder, attacker.run.recipe.players.attacker, name=attacker.name)
        return self._kept("attacker", canonical_hash(attacker.identity), load), referee

    def _defender(self, defender: PoolDefender) -> TrainedDefender:
        load = partial(open_defender, defender.folder, defender.run.recipe.players.defender, name=defender.name)
        player: TrainedDefender = self._kept("defender", defender.digest, load)
        return player

    def _kept(self, role: str, digest: str, load: Callable[[], Any]) -> Any:
        """The player that was opened last stays, until another one is wanted."""
        if role not in self._open or self._open[role][0] != digest:
            self._open.pop(role, None)  # its memory is free before the next one comes
            self._open[role] = digest, load()
        return self._open[role][1]

    @cached_property
    def _referees(self) -> Mapping[Any, Referee]:
        return referees(self.pool.runs[0].recipe.referee, photos=not self.game.is_world)

    def _digest(self, draw: int) -> str:
        scenes = self.scenes_of(draw)
        if len(scenes) not in self._digests:
            self._digests[len(scenes)] = scenes_digest(scenes)
        return self._digests[len(scenes)]


def _seed(attacker: PoolAttacker, draw: int, seed: int) -> int:
    """Draw 0 of a trained attacker, and every draw of the distractors, are those of a run's own evaluation."""
    if attacker.name == RANDOM:
        return stage_seed(seed, f"evaluation/attacks/distractor_{draw + 1}")
    column = "trained" if attacker.folder is not None else attacker.name
    return stage_seed(seed, f"evaluation/attacks/{column}" + (f"/draw {draw + 1}" if draw else ""))


def _save(folder: Path, answered: Mapping[str, Any]) -> None:
    write_json(folder / "answers.json", answered)


def _load(folder: Path) -> Any:
    return read_json(folder / "answers.json", hint=f"delete {folder} and run the same command again", needs=("scores",))
