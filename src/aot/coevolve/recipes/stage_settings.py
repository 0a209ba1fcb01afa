"""Settings of the stages in which frozen players play: attack rounds, meta-strategies, the evaluation."""

from __future__ import annotations

from pydantic import BaseModel, Field

from aot.game.equilibrium import MetaRule
from aot.runs.limits import Temperature


class AttackRoundSettings(BaseModel, frozen=True, extra="forbid"):
    """How training scenes are attacked for the defender's curriculum. All *ours*."""

    answers: int = Field(4, gt=0)  # sampled answers to an attacked image; their wrong share: its difficulty
    temperature: Temperature = 1.0  # of these answers
    scripted_draws: int = Field(2, ge=0)  # scripted distractors a scene, beside the attacker's edit
    scripted_related: float = Field(0.5, ge=0, le=1)  # share of these that resembles what is asked
    chunk: int = Field(0, ge=0)  # scenes that are attacked and kept at once, and shared by ranks; 0: all


class MetaSettings(BaseModel, frozen=True, extra="forbid"):
    """Against whom of the pool so far the next players are trained (`coevolve.rounds.payoff`). All *ours*."""

    rule: MetaRule = "newest"  # the newest opponent, all alike, or the equilibrium of those so far (PSRO)
    scenes: int = Field(60, gt=0)  # on which all attackers so far meet all defenders so far
    floor: float = Field(0.7, ge=0, le=1)  # nash: share that all players have alike, so that none is forgotten


class EvaluationSettings(BaseModel, frozen=True, extra="forbid"):
    """What defenders meet on held-out scenes besides the trained attackers. All *ours*."""

    distractors: int = Field(8, gt=0)  # random distractors a scene: the first alone, and the worst of all
    scripted_related: float = Field(0.5, ge=0, le=1)  # share of them that resembles what is asked about
    chunk: int = Field(0, ge=0)  # scenes that are attacked, or answered, and kept at once, and shared by ranks; 0: all
