"""The environment of all trainings of the attacker against a defender: scenes worth attacking, and rewarded episodes of
the attacker's samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field
from torch import Tensor

from aot.errors import AotError
from aot.game.episodes import greedy_answers, play_attacks
from aot.game.judge import Judge, without_judge
from aot.game.referee import Referee
from aot.players.attacker.buckets import BucketedConditions
from aot.players.base import Defender
from aot.prompts import attack_instruction
from aot.rl.diversity import DiversitySettings
from aot.rl.rewards import UNGRADED, AttackReward
from aot.runs.limits import Temperature
from aot.runs.terminal import warn
from aot.train.attacker.reinforcement.outcomes import gather_answers
from aot.train.attacker.reinforcement.traits import Describe, pixel_traits
from aot.train.ranks import share
from aot.types import Attack, EditKind, Episode, Scene

if TYPE_CHECKING:
    from aot.players.attacker.conditions import Conditions
    from aot.players.attacker.edit_attacker import EditAttacker


class EnvironmentSettings(BaseModel, frozen=True, extra="forbid"):
    """How an attack is shown to the defender in training."""

    kind: EditKind = "any"
    answers: int = Field(4, gt=0)  # ours; paper: it fails "consecutively", no number given
    temperature: Temperature = 1.0  # ours: 0 asks once, greedily
    reward: AttackReward = AttackReward()
    # Ours: rarer edits are rewarded more. Left out of the dump where it is off, so that stages made before this setting
    # existed keep their keys.
    diversity: DiversitySettings = Field(DiversitySettings(), exclude_if=lambda d: not d.weight)


GRADED = EnvironmentSettings(answers=1, temperature=0.0, reward=AttackReward(efficacy="log_odds", floor=0.2))
"""*Ours*, for a budget of minutes: one greedy answer, and a reward by the log-odds of a wrong one, so that an attack
which only lowers the defender's confidence is rewarded more than one without effect; and a floor, so that
a valid attack always has a reward."""


WITHOUT_LOG_ODDS = "attacks whose log-odds are not known are rewarded by whether the answer is wrong"


class AttackEnvironment:
    """Scenes that the defender answers correctly when clean, ready to be attacked many times. `judge`: scores edits
    where the reward has terms for it; `conditions`: the attacker's conditions for all `scenes`, where they are encoded
    already; `describe`: the traits of edits that the diversity bonus compares.

    Raises AotError where no scene is left, or where the reward needs a judge and there is none.
    """

    def __init__(
        self,
        attacker: EditAttacker,
        scenes: Sequence[Scene],
        referee: Referee,
        defender: Defender,
        settings: EnvironmentSettings,
        *,
        judge: Judge | None = None,
        conditions: BucketedConditions | None = None,
        describe: Describe = pixel_traits,
    ):
        if settings.reward.judge.weights and judge is None:
            raise without_judge(f"the reward of attacks weighs {', '.join(settings.reward.judge.weights)}")
        mine = share(len(scenes))
        clean = gather_answers(greedy_answers(scenes[mine.start : mine.stop], defender))
        right = [
            i for i, (s, a) in enumerate(zip(scenes, clean, strict=True)) if a[0].choice == s.question.answer
        ]
        if not right:
            raise AotError(
                f"the defender answers none of the {len(scenes)} clean scenes rightly: nothing to attack",
                where="attacker training",
                hint="train the defender first, or give other scenes",
            )
        self.attacker, self.referee, self.defender, self.settings = attacker, referee, defender, settings
        self.judge, self._told, self.describe = judge, False, describe
        self.scenes, self.clean = [scenes[i] for i in right], [clean[i] for i in right]
        if conditions is None:
            sentences = [attack_instruction(s, settings.kind) for s in self.scenes]
            self.conditions = BucketedConditions.of(attacker, [s.image for s in self.scenes], sentences)
        else:
            self.conditions = conditions.chosen(right)

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def sizes(self) -> Tensor | None:
        """`int64 [scenes]`: scenes with images of one size have one number; None where all have."""
        return self.conditions.sizes

    def take(self, index: Tensor) -> Conditions:
        """The conditions of these scenes, whose images are of one size."""
        return self.conditions.take(index)

    def episodes(
        self, index: Tensor, latents: Tensor, *, seed: int, streams: Sequence[int] | None = None
    ) -> list[Episode]:
        """The episodes, with rewards, of denoised `latents [B, L, C]` on the scenes with these numbers, whose images
        are of one size. Refused attacks are not shown to the defender: their reward is 0. `streams`: for
        each edit the number of the random stream that its answers are sampled from."""
        chosen = index.tolist()
        scenes = [self.scenes[i] for i in chosen]
        images = self.attacker.edited_images(scenes, self.conditions.images(index), latents)
        name, s = self.attacker.name, self.settings
        attacks = [
            Attack(scene.id, name, s.kind, image, attack_instruction(scene, s.kind), seed)
            for scene, image in zip(scenes, images, strict=True)
        ]
        return self.play_attacks(chosen, attacks, seed=seed, streams=streams)

    def play_attacks(
        self,
        index: Sequence[int],
        attacks: Sequence[Attack],
        *,
        seed: int = 0,
        streams: Sequence[int] | None = None,
    ) -> list[Episode]:
        """The episodes, with rewards, of any attacks on the scenes with these numbers."""
        s = self.settings
        episodes = play_attacks(
            [self.scenes[i] for i in index],
            attacks,
            self.referee,
            self.defender,
            k=s.answers,
            temperature=s.temperature,
            seed=seed,
            streams=streams,
            clean_answers=[self.clean[i] for i in index],
            reward=s.reward,
            ask_refused=False,
            judge=self.judge,
        )
        if not self._told and any(UNGRADED in episode.rewards for episode in episodes):
            self._told = True
            warn(f"note: {self.defender.name} gives no probabilities of all its answers: {WITHOUT_LOG_ODDS}")
        return episodes


