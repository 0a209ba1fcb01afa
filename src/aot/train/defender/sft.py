"""Supervised fine-tuning of the defender: right answers to clean and attacked images (AOT, phase 1).

    train_defender_sft(defender, batches, settings, *, seed, pairs=None, checkpoint=None, log=None) -> metrics

The loss is the cross-entropy of the right answer's tokens behind the prompt that the defender is asked by, closed by
end-of-turn. `candidates` > 1 is hardest-of-k: of k attacks on a scene the one with the highest loss is trained on, and
with `pool` > 1 only the scenes where that loss is highest (*ours*, as in adversarial training and online hard example
mining; published warm-ups take every pair as it is). `counterfactual_share` > 0 gives so much of every batch to pairs
of images with one question and two answers, the pairs of the highest loss (*ours*; the idea is that of contrast sets
and of counterfactually augmented data). `pixel.share` > 0 attacks the pixels of so much of every batch before its step;
`abstain_share` > 0 has so much of its attacked images be answered by an abstention, before an RL that rewards it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from aot.errors import AotError
from aot.prompts import ABSTENTION, gold_answer
from aot.runs.checkpoints import Checkpoint
from aot.runs.heartbeat import beat
from aot.runs.train_log import TrainLog, plain_metrics
from aot.train.defender.optimizer import adamw, matrices, muon
from aot.train.defender.pixel_share import PixelSettings, Seen, with_pixels_attacked
from aot.train.ranks import gather_values, share, sum_gradients, total
from aot.train.weight_average import WeightAverage
from aot.types import CounterfactualPair, Image, Question

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender

Item = TypeVar("Item")


class DefenderSftSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*: the paper only says that the defender is warmed up by SFT."""

    steps: int = Field(400, ge=0)  # 0 leaves the defender as it is
    batch: int = Field(64, gt=0)  # scenes a step, one image of each
    # Share of a batch that is seen attacked, where it has attacks; with a `pixel.share` of clean images, of the others.
    attacked_share: float = Field(0.75, ge=0, le=1)
    candidates: int = Field(4, gt=0)  # attacks of a scene whose losses are compared; 1 takes one as it comes
    # Attacked scenes looked at for each that is trained on: those of the highest loss.
    pool: float = Field(1.0, ge=1, le=1000)
    counterfactual_share: float = Field(0.0, ge=0, lt=1)  # of a batch: in pairs of images with other answers
    counterfactual_pool: float = Field(3.0, ge=1, le=1000)  # such pairs looked at for each that is trained on
    learning_rate: float = Field(5e-4, gt=0, le=10)
    muon_lr: float = Field(0.0, ge=0, le=10)  # of the matrices inside the blocks, by Muon; 0 gives them to AdamW
    warmup_steps: int = Field(10, ge=0)
    schedule: Literal["linear", "constant"] = "linear"  # after the warm-up
    final_rate: float = Field(0.0, ge=0, le=1)  # share of the learning rates at which a linear schedule ends
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    ema: float = Field(0.0, ge=0, lt=1)  # the weights kept at the end are averaged; 0 keeps the last ones
    per_forward: int = Field(64, gt=0)  # images in one forward pass: memory against speed
    pixel: PixelSettings = PixelSettings()  # images that are attacked by PGD against the weights of the step
    abstain_share: float = Field(0.0, ge=0, le=0.5)  # of a batch's attacked images: answered by an abstention

    @model_validator(mode="after")
    def _room_for_pairs(self) -> Self:
        if self.counterfactual_share and not self.pairs:
            needs = f"counterfactual_share={self.counterfactual_share} of batch={self.batch} is less than one pair"
            raise ValueError(f"{needs}, two images; a larger batch, a larger share, or 0 for none")
        if self.bounded > self.single:
            needs = f"pixel.share={self.pixel.share} of batch={self.batch} is {self.bounded} clean images"
            raise ValueError(f"{needs}, and {self.single} are in no counterfactual pair; a smaller share of either")
        return self

    @property
    def key(self) -> dict[str, Any]:
        """What a trained defender depends on; without what does nothing of the settings that came later."""
        used = {"pixel": self.pixel.share, "muon_lr": self.muon_lr, "abstain_share": self.abstain_share}
        used |= {"pool": self.pool - 1, "final_rate": self.final_rate}
        used |= dict.fromkeys(("counterfactual_share", "counterfactual_pool"), self.counterfactual_share)
        return self.model_dump(mode="json", exclude={name for name, value in used.items() if not value})

    @property
    def pairs(self) -> int:
        """Counterfactual pairs that a step is trained on, two images each; one image at least is in none."""
        return min(round(self.batch * self.counterfactual_share / 2), (self.batch - 1) // 2)

    @property
    def single(self) -> int:
        """Images of a step that are in no such pair."""
        return self.batch - 2 * self.pairs

    @property
    def bounded(self) -> int:
        """Images of a step that are clean but for PGD."""
        return round(self.batch * self.pixel.share) if self.pixel.on == "clean" else 0

    @property
    def pairs_drawn(self) -> int:
        """Counterfactual pairs that a step is offered."""
        return round(self.pairs * self.counterfactual_pool)

    def drawn(self, batch: int | None = None) -> tuple[int, int]:
        """(attacked scenes, clean scenes) that a step is offered, for `batch` of its images that are in no pair
        (default all)."""
        batch = self.single if batch is None else batch
        attacked = self.attacked_of(batch)
        return round(attacked * self.pool), batch - attacked

    def attacked_of(self, batch: int) -> int:
        """Of so many images that are in no pair, those that are seen attacked."""
        return round(max(0, batch - self.bounded) * self.attacked_share)


@dataclass(frozen=True, slots=True, eq=False)
class SftExample:
    """A scene: its clean image, its question, and the valid attacks on it (all of the clean image's size or not)."""

    clean: Image
    question: Question
    attacked: tuple[Image, ...] = ()


Batches = Callable[[int], Sequence[SftExample]]
"""The examples of a step (from 1). The same step, the same examples: what resuming needs."""

PairBatches = Callable[[int], Sequence[CounterfactualPair]]
"""The counterfactual pairs that a step is offered, in the same way."""


def train_defender_sft(
    defender: TrainedDefender,
    batches: Batches,
    settings: DefenderSftSettings,
    *,
    seed: int,
    pairs: PairBatches | None = None,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `defender` in place; returns the last metrics. Same arguments, same bits on a CPU. Ranks share each batch,
    and end with equal weights: those of one rank, but for the order of sums.

    Raises `AotError` where the loss is not finite.
    """
    s, checkpoint, log = settings, checkpoint or Checkpoint(None), log or TrainLog()
    parameters = defender.begin_training(seed=seed)
    optimizers = optimizers_of(defender, parameters, s)
    average = WeightAverage(parameters, s.ema, warmup=2) if s.ema else None
    state: dict[str, Any] = {
        "modules": {"defender": defender.learned, "average": average},
        "optimizers": optimizers,
    }
    start = checkpoint.restore(**state)
    log.resume(start)
    metrics: dict[str, Any] = checkpoint.extra or {}
    defender.model.train()
    try:
        for step in range(start + 1, s.steps + 1):
            examples = batches(step)
            seen, edited = chosen_images(defender, examples, s, np.random.default_rng([seed, step]))
            metrics = {"attacked": sum(edited) / len(seen)}
            if pairs and s.pairs:
                paired = hardest_pairs(defender, pairs(step), s)
                seen, edited = [*seen, *paired], [*edited, *[True] * len(paired)]
                metrics["counterfactual"] = len(paired) / len(seen)
            answers = abstaining(seen, edited, s.abstain_share, seed=[seed, step]) if s.abstain_share else None
            if s.pixel.share:
                seen, pixel = with_pixels_attacked(
                    defender, seen, edited, s.pixel, seed=[seed, step], per_forward=s.per_forward
                )
                metrics["pixel"] = pixel / len(seen)
            metrics = {"loss": _accumulate(defender, seen, s.per_forward, answers), **metrics}
            if not math.isfinite(metrics["loss"]):
                hint = "lower the learning rate; the last checkpoint is intact"
                raise AotError(f"the defender's loss is {metrics['loss']} at step {step}", hint=hint)
            sum_gradients(parameters)
            metrics["grad_norm"] = torch.nn.utils.clip_grad_norm_(parameters, s.max_grad_norm)
            for each in optimizers.values():
                each.step()
            for parameter in parameters:
                parameter.grad = None
            if average:
                average.update(parameters)
            if step % 10 == 0 or step == s.steps:
                log.write(step, **metrics)
            if checkpoint.due(step):
                checkpoint.save(step, **state, extra=plain_metrics(metrics))
    finally:
        defender.model.eval()
    if average:
        average.copy_to(parameters)
    return plain_metrics(metrics)


def optimizers_of(
    defender: TrainedDefender, parameters: Sequence[torch.nn.Parameter], settings: DefenderSftSettings
) -> dict[str, Any]:
    """AdamW and its schedule by their names in the checkpoint; with a rate for Muon, that for all matrices."""
    s = settings
    how: dict[str, Any] = {"schedule": s.schedule, "warmup": s.warmup_steps, "steps": s.steps, "final": s.final_rate}
    by_muon = {id(p) for p in matrices(defender.model)} if s.muon_lr else set()
    rest = [p for p in parameters if id(p) not in by_muon]
    found: dict[str, Any] = {}
    found["adamw"], found["schedule"] = adamw(rest, learning_rate=s.learning_rate, weight_decay=s.weight_decay, **how)
    if by_muon:
        found["muon"], found["muon_schedule"] = muon(defender.model, learning_rate=s.muon_lr, **how)
    return found


def chosen_images(
    defender: TrainedDefender, examples: Sequence[SftExample], settings: DefenderSftSettings, rng: np.random.Generator
) -> tuple[list[Seen], list[bool]]:
    """One image of each example that is trained on, and whether it is an attacked one. With a `pool` some attacked
    examples are only looked at."""
    batch = min(len(examples), settings.single) if settings.pool > 1 else len(examples)
    most = settings.attacked_of(batch)
    attackable = [i for i, example in enumerate(examples) if example.attacked]
    looked_at = sorted(rng.permutation(attackable)[: round(most * settings.pool)].tolist())
    drawn = {i: _some(examples[i].attacked, settings.candidates, rng) for i in looked_at}
    tried = [(image, examples[i].question) for i, images in drawn.items() for image in images]
    compared = len(tried) > min(len(drawn), most)
    losses = iter(_losses(defender, tried, settings.per_forward) if compared else [0.0] * len(tried))
    hardest: dict[int, tuple[float, Image]] = {}
    for i, images in drawn.items():
        of_each = [next(losses) for _ in images]
        hardest[i] = max(of_each), images[int(np.argmax(of_each))]
    chosen = sorted(hardest, key=lambda i: -hardest[i][0])[:most]
    clean = [i for i in range(len(examples)) if i not in hardest][: batch - len(chosen)]
    shown = [(i, i in chosen) for i in sorted(chosen + clean)]
    seen = [(hardest[i][1] if edited else examples[i].clean, examples[i].question) for i, edited in shown]
    return seen, [edited for _, edited in shown]


def hardest_pairs(
    defender: TrainedDefender, pairs: Sequence[CounterfactualPair], settings: DefenderSftSettings
) -> list[Seen]:
    """Both images of so many pairs, those of the highest loss of the two together."""
    chosen = list(range(len(pairs)))
    if len(pairs) > settings.pairs:
        both = [seen for pair in pairs for seen in zip(pair.images, pair.questions, strict=True)]
        losses = np.array(_losses(defender, both, settings.per_forward)).reshape(-1, 2).sum(1)
        chosen = sorted(np.argsort(-losses, kind="stable")[: settings.pairs].tolist())
    return [seen for i in chosen for seen in zip(pairs[i].images, pairs[i].questions, strict=True)]


def abstaining(seen: Sequence[Seen], edited: Sequence[bool], share: float, *, seed: Sequence[int]) -> list[str]:
    """The answer to each image that is learned: an abstention to so much of those that are attacked, drawn without a
    look at them; else the right one. It only makes the abstention be said at times: when to say it is for RL."""
    attacked = [i for i, is_edited in enumerate(edited) if is_edited]
    drawn = np.random.default_rng([*seed, 2]).permutation(attacked)[: round(share * len(attacked))]
    chosen = set(drawn.tolist())
    return [ABSTENTION if i in chosen else gold_answer(question) for i, (_, question) in enumerate(seen)]


def _some(images: Sequence[Image], most: int, rng: np.random.Generator) -> list[Image]:
    return [images[i] for i in rng.permutation(len(images))[:most]]


@torch.no_grad()
def _losses(defender: TrainedDefender, seen: Sequence[Seen], per_forward: int) -> list[float]:
    """Of each image: the mean loss of the right answer's tokens. Every rank looks at its share of them."""
    found: list[float] = []
    for part in _parts(seen, per_forward):
        sums, tokens = answer_losses(defender, part)
        found += (sums / tokens).tolist()
    return gather_values(found)


def _accumulate(
    defender: TrainedDefender, seen: Sequence[Seen], per_forward: int, answers: Sequence[str] | None = None
) -> float:
    """Adds the gradients of the mean loss over all tokens of the right answers (or of `answers`), each rank those of
    its share; the loss."""
    said = [None] * len(seen) if answers is None else answers
    tokens = sum(defender.answer_tokens(question, text) for (_, question), text in zip(seen, said, strict=True))
    loss = 0.0
    texts = _parts(answers, per_forward) if answers is not None else repeat(None)
    for part, text in zip(_parts(seen, per_forward), texts, strict=False):
        summed = answer_losses(defender, part, text)[0].sum() / tokens
        summed.backward()
        loss += float(summed.detach())
    return total(loss)


def _parts(seen: Sequence[Item], per_forward: int) -> Iterator[Sequence[Item]]:
    """This rank's share, in what goes through the model at once."""
    mine = share(len(seen))
    for start in range(mine.start, mine.stop, per_forward):
        beat()
        yield seen[start : min(start + per_forward, mine.stop)]


def answer_losses(
    defender: TrainedDefender, seen: Sequence[Seen], answers: Sequence[str] | None = None
) -> tuple[Tensor, Tensor]:
    """As `TrainedDefender.answer_losses`."""
    images, questions = zip(*seen, strict=True)
    return defender.answer_losses(images, questions, answers)
