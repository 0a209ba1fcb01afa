"""Which images a step of the defender's SFT is trained on, and with which answers.

Hardest-of-k: of `candidates` attacks on a scene the one with the highest loss is taken, and with `pool` > 1 only the
scenes where that loss is highest (*ours*, as in adversarial training and in online hard example mining; published
warm-ups take every pair as it is). Of counterfactual pairs those with the highest loss are taken (*ours*; the idea is
that of contrast sets and of counterfactually augmented data).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aot.prompts import ABSTENTION, gold_answer
from aot.train.defender.sft.examples import SftExample
from aot.train.defender.sft.losses import mean_losses
from aot.train.defender.sft.pixel_share import ImageQuestion
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.types import CounterfactualPair, Image

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender


def choose_images(
    defender: TrainedDefender, examples: Sequence[SftExample], settings: DefenderSftSettings, rng: np.random.Generator
) -> tuple[list[ImageQuestion], list[bool]]:
    """One image of each example that is trained on, and whether it is an attacked one. With a `pool` > 1 the losses of
    some attacked examples are only compared."""
    batch = min(len(examples), settings.single) if settings.pool > 1 else len(examples)
    most = settings.attacked_of(batch)
    attackable = [i for i, example in enumerate(examples) if example.attacked]
    looked_at = sorted(rng.permutation(attackable)[: round(most * settings.pool)].tolist())
    drawn = {i: _some(examples[i].attacked, settings.candidates, rng) for i in looked_at}
    tried = [(image, examples[i].question) for i, images in drawn.items() for image in images]
    compared = len(tried) > min(len(drawn), most)
    losses = iter(mean_losses(defender, tried, settings.per_forward) if compared else [0.0] * len(tried))
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
) -> list[ImageQuestion]:
    """Both images of `settings.pairs` pairs: those whose two losses have the highest sum."""
    chosen = list(range(len(pairs)))
    if len(pairs) > settings.pairs:
        both = [seen for pair in pairs for seen in zip(pair.images, pair.questions, strict=True)]
        losses = np.array(mean_losses(defender, both, settings.per_forward)).reshape(-1, 2).sum(1)
        chosen = sorted(np.argsort(-losses, kind="stable")[: settings.pairs].tolist())
    return [seen for i in chosen for seen in zip(pairs[i].images, pairs[i].questions, strict=True)]


def sft_targets(
    seen: Sequence[ImageQuestion], edited: Sequence[bool], share: float, *, seed: Sequence[int]
) -> list[str]:
    """The answer that is learned for each image: an abstention for the share `share` of the attacked ones, drawn at
    random; else the right one. This only has the model say the abstention at times: when to say it is learned by RL."""
    attacked = [i for i, is_edited in enumerate(edited) if is_edited]
    drawn = np.random.default_rng([*seed, 2]).permutation(attacked)[: round(share * len(attacked))]
    chosen = set(drawn.tolist())
    return [ABSTENTION if i in chosen else gold_answer(question) for i, (_, question) in enumerate(seen)]


def _some(images: Sequence[Image], most: int, rng: np.random.Generator) -> list[Image]:
    return [images[i] for i in rng.permutation(len(images))[:most]]
