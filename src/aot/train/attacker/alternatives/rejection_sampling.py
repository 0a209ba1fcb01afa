"""Training the attacker on hits: sample several edits a scene, keep those that are valid and deceive the current
defender, imitate them (rejection sampling / expert iteration; *ours*, as a named alternative to Flow-GRPO).

An attacker knows only what fooled earlier defenders, and against a stronger one its own samples seldom hit. In the
miniature world scripted distractors, which cost no sampling, can be tried beside them: what hits among these shows
where *this* defender is weak (the pairs of AOT-SFT, curated anew). Plain editing tasks are mixed in, so that the
painting itself is not forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from aot.players.attacker.latents import pad_to_blocks
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog, plain_metrics
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment, EnvironmentSettings
from aot.train.attacker.reinforcement.outcomes import summarise
from aot.train.attacker.reinforcement.scene_choice import SceneStream
from aot.train.attacker.sft.edit_sets import EditSet
from aot.train.attacker.sft.flow_matching import SftSettings, accumulate_sft
from aot.train.attacker.sft.pairs import ScriptedTasks
from aot.train.editor_trainer import EditorTrainer, OptimizerSettings
from aot.types import Attack, Episode


class RejectionSamplingSettings(BaseModel, frozen=True, extra="forbid"):
    """Rounds of attacking and imitating; values *ours*."""

    rounds: int = Field(3, gt=0)
    scenes: int = Field(200, gt=0)  # a round
    samples: int = Field(6, gt=0)  # edits a scene
    sampling_steps: int = Field(6, gt=0)
    scripted_scenes: int = Field(0, ge=0)  # a round; the miniature world only
    scripted_samples: int = Field(8, gt=0)  # distractors a scene
    hits_per_scene: int = Field(
        2, gt=0
    )  # more are dropped: easy scenes must not dominate
    updates: int = Field(60, gt=0)  # optimizer steps a round
    retention: float = Field(0.2, ge=0, lt=1)  # share of each batch that is plain editing tasks
    forget_rounds: int = Field(3, gt=0)  # older hits are dropped: an earlier attacker made them
    sft: SftSettings = SftSettings(
        batch=48,
        changed_weight=1.0,
        sigma_shift=2.0,
        optimizer=OptimizerSettings(muon_lr=3e-3, adamw_lr=6e-4, warmup_steps=10, final_lr=0.1, ema=0.98),
    )
    environment: EnvironmentSettings = EnvironmentSettings(answers=1, temperature=0.0)


def train_rejection_sampling(
    environment: AttackEnvironment,
    settings: RejectionSamplingSettings,
    *,
    seed: int,
    retention: EditSet | None = None,
    scripted: ScriptedTasks | None = None,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `environment.attacker` in place (the averaged weights at the end); returns the last round's figures.

    Ends early, with the reason in the metrics, where no edit deceives the defender any more. Steps of the
    checkpoint and of the log are optimizer steps.
    """
    checkpoint, log = checkpoint or Checkpoint(None), log or TrainLog()
    s, attacker = settings, environment.attacker
    generator = torch.Generator().manual_seed(seed)
    stream = SceneStream(len(environment), generator, environment.sizes)
    trainer = EditorTrainer(attacker.transformer, s.sft.optimizer, s.rounds * s.updates)
    pool = HitPool(s.forget_rounds)
    state = {**trainer.state, "generators": {"draws": generator}}
    state["modules"] = {**state["modules"], "stream": stream, "pool": pool}
    start = checkpoint.restore(**state)
    log.resume(start)
    metrics: dict[str, Any] = checkpoint.extra or {}  # of the round that is being imitated
    for step in range(start + 1, s.rounds * s.updates + 1):
        if (step - 1) % s.updates == 0:
            episodes, index = attack_scenes(environment, stream, s, generator, seed=seed * 100_003 + step)
            metrics = dict(summarise(episodes))
            if s.scripted_scenes and scripted:
                more, more_index = distract_scenes(environment, stream, s, scripted, seed=[seed, step])
                episodes, index = episodes + more, torch.cat([index, more_index])
                metrics["scripted_success"] = summarise(more)["valid_success"]
            pool.add(environment, episodes, index, s.hits_per_scene)
            metrics["hits"] = float(len(pool))
            if not len(pool):
                reason = "no edit deceives this defender"
                log.stop(reason)
                metrics["stopped"] = reason
                break
        batch = pool.batch(environment, s, retention, generator)
        loss = accumulate_sft(attacker, trainer, batch, s.sft, generator)
        norm = trainer.update(step)
        if step % 10 == 0 or (step - 1) % s.updates == 0:
            log.write(step, **metrics, loss=loss, grad_norm=norm)
        checkpoint.save(step, **state, extra=plain_metrics(metrics))
    trainer.finish()
    return metrics | {"scenes": len(environment)}


def attack_scenes(
    environment: AttackEnvironment,
    stream: SceneStream,
    settings: RejectionSamplingSettings,
    generator: torch.Generator,
    *,
    seed: int,
) -> tuple[list[Episode], Tensor]:
    """Episodes of `samples` edits on each of `scenes` scenes, and the scenes' numbers `[B]`."""
    scenes = stream.draw(min(settings.scenes, len(environment)))
    index = scenes.repeat_interleave(settings.samples)
    conditions = environment.take(index)
    noise = environment.attacker.noise(conditions, generator)
    latents = environment.attacker.sample(conditions, noise, steps=settings.sampling_steps)
    return environment.episodes(index, latents, seed=seed), index


def distract_scenes(
    environment: AttackEnvironment,
    stream: SceneStream,
    settings: RejectionSamplingSettings,
    scripted: ScriptedTasks,
    *,
    seed: Sequence[int],
) -> tuple[list[Episode], Tensor]:
    """Episodes of scripted distractors on `scripted_scenes` scenes, and the scenes' numbers `[B]`."""
    rng = np.random.default_rng(seed)
    attacks: list[Attack] = []
    index: list[int] = []
    for i in stream.draw(min(settings.scripted_scenes, len(environment))).tolist():
        scene = environment.scenes[i]
        found = scripted.distractors(scene, rng, settings.scripted_samples)
        attacks += found
        index += [i] * len(found)
    return environment.play_attacks(index, attacks), torch.tensor(index, dtype=torch.long)


class HitPool:
    """The edits of the last rounds that deceived: scene numbers and x0, a pair of tensors a round."""

    def __init__(self, rounds: int):
        self.rounds = rounds
        self.kept: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return sum(len(index) for index, _ in self.kept)

    def add(self, environment: AttackEnvironment, episodes: Sequence[Episode], index: Tensor, most: int) -> None:
        """Adds the successes, at most `most` a scene; x0 is read back from the painted image, so that
        blocks which the editor left alone are exactly zero."""
        counts: Counter[int] = Counter()
        hits = []
        for i, (episode, scene) in enumerate(zip(episodes, index.tolist(), strict=True)):
            if episode.success and counts[scene] < most:
                counts[scene] += 1
                hits.append(i)
        if hits:
            images = environment.conditions.images(index[hits])
            painted = np.stack([pad_to_blocks(episodes[i].attack.image) for i in hits])
            self.kept.append((index[hits], environment.attacker.encode_edits(images, painted)))
        else:
            self.kept.append((index[:0], environment.take(index[:1]).source[:0]))
        self.kept = self.kept[-self.rounds :]

    def batch(
        self,
        environment: AttackEnvironment,
        settings: RejectionSamplingSettings,
        retention: EditSet | None,
        generator: torch.Generator,
    ) -> EditSet:
        """Random hits, with the settings' share of `retention` among them. Of a question type with a quarter of
        another's hits half as many are drawn: easy types must not dominate. Of several sizes of images one
        is drawn, likelier the more hits it has."""
        kept = self.kept
        if environment.sizes is not None:
            kept = [each for each in kept if len(each[0])]
            sizes = torch.cat([environment.sizes[index] for index, _ in kept])
            drawn = sizes[torch.randint(len(sizes), (1,), generator=generator)]
            kept = [each for each in kept if environment.sizes[each[0][0]] == drawn]
        index, x0 = (torch.cat(parts) for parts in zip(*kept, strict=True))
        plain = round(settings.sft.batch * settings.retention) if retention is not None else 0
        kinds = [environment.scenes[i].question.kind for i in index.tolist()]
        counts = Counter(kinds)
        weights = torch.tensor([counts[kind] ** -0.5 for kind in kinds])
        chosen = torch.multinomial(weights, settings.sft.batch - plain, replacement=True, generator=generator)
        hits = EditSet(environment.take(index[chosen]), x0[chosen])
        if retention is None or not plain:
            return hits
        return EditSet.joined(
            [hits, retention.take(torch.randint(len(retention), (plain,), generator=generator))]
        )

    def state_dict(self) -> dict[str, list[tuple[Tensor, Tensor]]]:
        return {"kept": list(self.kept)}

    def load_state_dict(self, state: dict[str, list[tuple[Tensor, Tensor]]]) -> None:
        self.kept = [(index, x0) for index, x0 in state["kept"]]
