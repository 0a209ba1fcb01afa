"""Makes the arena's cells: every attacker attacks the held-out scenes, every defender answers. What is stored is not
made again.

A cell of the first run itself was made when the run was evaluated, from the same weights, scenes and seeds: it is taken
over from there. Draw 0 of an attacker is that of the run's evaluation, later draws have seeds of their own; so the
draws of a budget are the first ones of every larger budget. Several ranks share the chunks of a cell. *Ours.*
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from aot.answers import parse_answer
from aot.arena.cells.reused import answers_of_run, attacks_of_run
from aot.arena.cells.store import (
    ANSWERS,
    ATTACKS,
    CONFIDENCES,
    AnswerCell,
    AttackCell,
    CellStore,
    Floats,
    scenes_digest,
)
from aot.arena.players.open_players import Meeting, OpenPlayers
from aot.arena.players.pool import Pool, PoolAttacker, PoolDefender, final_defenders
from aot.arena.players.scripted import RANDOM
from aot.arena.players.settings import ArenaSettings
from aot.arena.players.white_box import gradients_of
from aot.attacks.white_box.attacker import PixelAttacker
from aot.attacks.white_box.pixels import gradient_seconds
from aot.coevolve.rounds.chunks import Chunk, chunks, in_chunks, missing
from aot.coevolve.rounds.scoring import AttackSet, attack_all, evaluate, evaluate_attacked
from aot.coevolve.scenes.game import Game, stage_seed
from aot.data.episodes.records import load_episodes, save_episodes
from aot.runs import ranks
from aot.runs.files import canonical_hash, read_json, write_json
from aot.runs.progress import GRADIENTS, at_most, duration, part, titled
from aot.types import Episode, Scene

Cell = TypeVar("Cell")
PIXEL_CHUNK = 32
"""Scenes that a white-box attacker attacks together, stored before the next ones."""
WORK = "work"
"""Folder for the chunks of a cell that is being made."""


@dataclass
class Play:
    """Plays the pool on `scenes`, held-out ones of the first run, into the cells of `store`."""

    pool: Pool
    game: Game
    scenes: Sequence[Scene]
    settings: ArenaSettings
    store: CellStore
    say: Callable[[str], None]
    _digests: dict[int, str] = field(default_factory=dict)
    _told: bool = False
    _contents: dict[str, str] = field(default_factory=dict)
    """Of the attack cells that this process has read or made, by key."""

    @property
    def seed(self) -> int:
        return self.pool.runs[0].recipe.seed

    @property
    def asked_often(self) -> list[PoolDefender]:
        """The defenders that answer to more than one draw."""
        return final_defenders(self.pool) if self.settings.draws > 1 else []

    @cached_property
    def _opened(self) -> OpenPlayers:
        return OpenPlayers(self.pool.runs[0], self.game, self.settings.strengths)

    def scenes_of(self, draw: int) -> Sequence[Scene]:
        """Draws after the first are on the first few scenes only."""
        return self.scenes[: self.settings.budget_scenes] if draw else self.scenes

    def meetings(self, defender: PoolDefender | None = None) -> list[Meeting]:
        """All cells of attacks; those that the defender is asked about. A white-box attacker, which is the strongest
        that its ball allows but for its budget of steps, has one draw, and a cell for each defender's gradients: all
        defenders are asked about all of them."""
        draws = self.settings.draws if defender is None or defender in self.asked_often else 1
        found = []
        for attacker in self.pool.attackers:
            if attacker.kind != "white_box":
                found += [Meeting(attacker, draw) for draw in range(draws)]
            else:
                found += [Meeting(attacker, 0, one) for one in self.pool.defenders]
        return found

    def first_draw(self, attacker: PoolAttacker, defender: PoolDefender) -> Meeting:
        """What the matrix shows of the two."""
        return Meeting(attacker, 0, defender if attacker.kind == "white_box" else None)

    def play(self) -> None:
        """Makes all cells that are missing."""
        for attacker in self.pool.attackers:
            mine = [meeting for meeting in self.meetings() if meeting.attacker is attacker]
            self._each(attacker.name, "attacks", [partial(self.attacks, meeting) for meeting in mine])
        for defender in self.pool.defenders:
            met = (None, *self.meetings(defender))
            self._each(defender.name, "answers", [partial(self.answers, defender, m) for m in met])
            weighed = [partial(self.confidences, defender, m) for m in met if self.is_weighed(defender, m)]
            self._each(defender.name, "confidences", weighed)
        self._opened.clear()

    def _each(self, name: str, what: str, cells: Sequence[Callable[[], Any]]) -> None:
        """Makes the cells of one player and says a line on it, unless all of them stood."""
        before, begun = self.store.made.total(), time.monotonic()
        for cell in cells:
            cell()
        if made := self.store.made.total() - before:
            self.say(f"  {name}: {what}, {made} of {len(cells)} cells made in {duration(time.monotonic() - begun)}")

    def is_weighed(self, defender: PoolDefender, meeting: Meeting | None) -> bool:
        """Whether it is asked how sure it is, too: of what the matrix shows."""
        shown = meeting is None or meeting == self.first_draw(meeting.attacker, defender)
        return self.settings.confidence and shown

    def attack_key(self, meeting: Meeting) -> str:
        first, attacker = self.pool.runs[0].recipe, meeting.attacker
        made_of = [attacker.identity, _seed(attacker, meeting.draw, self.seed), self._chunk(meeting)]
        judged = [attacker.rule, first.referee.model_dump(mode="json")]
        white_box = [meeting.against.digest] if meeting.against else []
        return canonical_hash([ATTACKS, made_of, judged, self._digest(meeting.draw), *white_box])

    def answer_key(self, defender: PoolDefender, meeting: Meeting | None) -> str:
        asked = self._digest(0) if meeting is None else self.attack_key(meeting)
        return canonical_hash([ANSWERS, defender.digest, asked, self.pool.runs[0].recipe.evaluation.chunk])

    def confidence_key(self, defender: PoolDefender, meeting: Meeting | None) -> str:
        return canonical_hash([CONFIDENCES, self.answer_key(defender, meeting)])

    def attacks(self, meeting: Meeting) -> AttackCell:
        """The cell of attacks, made where it is missing."""
        key, scenes = self.attack_key(meeting), self.scenes_of(meeting.draw)
        stands, make = partial(self.store.attacks, key, scenes), partial(self._make_attacks, meeting, key, scenes)
        cell = _on_all_ranks(stands, make)
        self._contents[key] = cell.content
        return cell

    def answers(self, defender: PoolDefender, meeting: Meeting | None) -> AnswerCell:
        """The cell of answers, to the clean scenes where there is no attacker; made where it is missing."""
        key, (scenes, content) = self.answer_key(defender, meeting), self._shown(meeting)
        stands = partial(self.store.answers, key, content, len(scenes))
        return _on_all_ranks(stands, partial(self._make_answers, defender, meeting, key, content, scenes))

    def confidences(self, defender: PoolDefender, meeting: Meeting | None) -> Floats:
        """The probability of each answer among the options, nan where there is none; made where it is missing."""
        key, (scenes, content) = self.confidence_key(defender, meeting), self._shown(meeting)
        stands = partial(self.store.confidences, key, content, len(scenes))
        return _on_all_ranks(stands, partial(self._make_confidences, defender, meeting, key, content, scenes))

    def _shown(self, meeting: Meeting | None) -> tuple[Sequence[Scene], str]:
        """The scenes that a defender is asked about, and the digest of what it sees of them."""
        if meeting is None:
            return self.scenes, self._digest(0)
        content = self._contents.get(self.attack_key(meeting)) or self.attacks(meeting).content
        return self.scenes_of(meeting.draw), content

    def _make_attacks(self, meeting: Meeting, key: str, scenes: Sequence[Scene]) -> AttackCell | None:
        attacker, draw = meeting.attacker, meeting.draw
        taken = attacks_of_run(self.pool.runs[0], attacker, draw, scenes, self.game)
        if taken is not None:
            return None if not ranks.is_main() else self.store.keep_attacks(key, scenes, taken, None)
        begun = time.monotonic()
        with titled(f"{attacker.name}, draw {draw + 1}"):
            made = self._attack(meeting, scenes, key)
        if not ranks.is_main():  # which has all chunks
            return None
        cell = self.store.keep_attacks(key, scenes, made, round(time.monotonic() - begun, 3))
        shutil.rmtree(self._state(key), ignore_errors=True)
        return cell

    def _make_answers(
        self, defender: PoolDefender, meeting: Meeting | None, key: str, content: str, scenes: Sequence[Scene]
    ) -> AnswerCell | None:
        attacker, draw = (None, 0) if meeting is None else (meeting.attacker, meeting.draw)
        taken = answers_of_run(self.pool.runs[0], defender, attacker, draw, scenes, self.game)
        if taken is not None:
            return None if not ranks.is_main() else self.store.keep_answers(key, content, AnswerCell(*taken))
        attacks = None if meeting is None else self.attacks(meeting).attacks
        begun = time.monotonic()
        with titled(f"{defender.name}: {'clean scenes' if attacker is None else attacker.name}"):
            scores, texts = self._answer(defender, scenes, attacks, key)
        if not ranks.is_main():
            return None
        seconds = round(time.monotonic() - begun, 3)
        cell = self.store.keep_answers(key, content, AnswerCell(np.array(scores, np.int8), texts, seconds))
        shutil.rmtree(self._state(key), ignore_errors=True)
        return cell

    def _make_confidences(
        self, defender: PoolDefender, meeting: Meeting | None, key: str, content: str, scenes: Sequence[Scene]
    ) -> Floats | None:
        said = self.answers(defender, meeting)
        images = [s.image for s in scenes]
        if meeting is not None:
            images = [attack.image for attack in self.attacks(meeting).attacks.attacks]
        if not ranks.is_main():
            return None
        begun, player, found = time.monotonic(), self._opened.defender(defender), np.full(len(scenes), np.nan)
        for chunk in self._chunks(scenes):
            answered = [i for i in range(chunk.start, chunk.stop) if said.scores[i] >= 0]
            logs = player.option_logprobs([images[i] for i in answered], [scenes[i].question for i in answered])
            for i, log in zip(answered, logs, strict=True):
                choice = parse_answer(said.texts[i], scenes[i].question.options).choice
                found[i] = np.nan if choice is None else min(1.0, float(np.exp(log[choice])))
        return self.store.keep_confidences(key, content, found, round(time.monotonic() - begun, 3))

    def _attack(self, meeting: Meeting, scenes: Sequence[Scene], key: str) -> AttackSet:
        seed = _seed(meeting.attacker, meeting.draw, self.seed)
        player, referee = self._opened.attacker(meeting)
        todo, state = chunks(len(scenes), self._chunk(meeting)), self._state(key)
        gradients = self._foretold(player, missing(todo, state), scenes) if isinstance(player, PixelAttacker) else 0

        def attacked(chunk: Chunk) -> list[Episode]:
            some = chunk.of(scenes)
            with at_most(GRADIENTS, len(some) * gradients):
                made = attack_all(some, player, referee, seed=chunk.seed(seed))
            return [Episode(*each) for each in zip(some, made.attacks, made.verdicts, strict=True)]

        load = partial(load_episodes, scenes=scenes)
        with part(GRADIENTS, sum(map(len, missing(todo, state))) * gradients):
            found = in_chunks(todo, state, lambda: nullcontext(attacked), save_episodes, load)
        episodes = [episode for some in found for episode in some]
        return AttackSet([e.attack for e in episodes], [e.verdict for e in episodes])

    def _answer(
        self, defender: PoolDefender, scenes: Sequence[Scene], attacks: AttackSet | None, key: str
    ) -> tuple[list[int], list[str]]:
        player = self._opened.defender(defender)

        def answered(chunk: Chunk) -> dict[str, list[Any]]:
            some = chunk.of(scenes)
            if attacks is None:
                scores, texts = evaluate(player, some)
            else:
                scores, texts = evaluate_attacked(player, some, attacks.part(chunk.start, chunk.stop))
            return {"scores": scores.tolist(), "texts": texts}

        found = in_chunks(self._chunks(scenes), self._state(key), lambda: nullcontext(answered), _save, _load)
        return [s for some in found for s in some["scores"]], [t for some in found for t in some["texts"]]

    def _chunk(self, meeting: Meeting) -> int:
        own = self.pool.runs[0].recipe.evaluation.chunk
        return own if meeting.against is None else own or PIXEL_CHUNK

    def _foretold(self, player: PixelAttacker, todo: Sequence[Chunk], scenes: Sequence[Scene]) -> int:
        """The gradients that it needs an image, at most; says once how long all white-box cells take at most."""
        if todo and not self._told:
            self._told, some = True, todo[0].of(scenes)
            each = gradient_seconds(player.pixel_gradients, [s.image for s in some], [s.question for s in some])
            left = [m for m in self.meetings() if m.against and not self.store.has(ATTACKS, self.attack_key(m))]
            count = len(scenes) * sum(gradients_of(meeting.attacker) for meeting in left)
            told = f"{count:,} gradients of an image, {1000 * each:.1f} ms each here: {duration(each * count)}"
            self.say(f"  white-box attacks: {len(left)} cells, at most {told}; each is kept in parts")
        return player.gradients

    def _chunks(self, scenes: Sequence[Scene]) -> list[Chunk]:
        """As the run's own evaluation is cut, so that batches, and with them the last bits, are the same."""
        return chunks(len(scenes), self.pool.runs[0].recipe.evaluation.chunk)

    def _state(self, key: str) -> Path:
        return self.store.folder / WORK / key[:16]

    def _digest(self, draw: int) -> str:
        scenes = self.scenes_of(draw)
        if len(scenes) not in self._digests:
            self._digests[len(scenes)] = scenes_digest(scenes)
        return self._digests[len(scenes)]


def _on_all_ranks(stands: Callable[[], Cell | None], make: Callable[[], Cell | None]) -> Cell:
    """A cell that stands, or is made by all ranks together; the first, which says whether it stands, keeps it."""
    cell = stands()
    if not ranks.share(cell is not None):
        cell = make()
        ranks.barrier()
    if cell is None:  # the first rank has kept it
        cell = stands()
    assert cell is not None
    return cell


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
