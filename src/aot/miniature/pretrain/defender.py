"""Pretraining of the miniature's base defender: eight questions an image packed behind one visual prefix.

Everything here is *ours* (the paper starts from Qwen2.5-VL-7B-Instruct). What makes a 0.5 M model learn to
see in minutes on a CPU: answers of three tokens, questions packed behind the image, Muon on the matrices, and
throw-away heads that name kind, colour, row and column of what each visual token shows.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from aot.miniature.pretrain.muon_adamw import MuonAdamW
from aot.miniature.tokenizer import build_tokenizer
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.players.defender.shared_prefix import image_features, packed_hidden
from aot.prompts import gold_answer, question_prompt
from aot.types import Question
from aot.world.questions import PHRASES, WORDS
from aot.world.scenes import Layout, draw_layout, questions_for, render
from aot.world.sprites import COLOURS, GRID, KINDS

if TYPE_CHECKING:
    from aot.runs.checkpoints import Checkpoint
    from aot.runs.train_log import TrainLog


class Phase(BaseModel, frozen=True, extra="forbid"):
    """A stretch of pretraining with its own warm-up and linear decay; values *ours*."""

    steps: int = Field(ge=1)
    rate: float = Field(1.0, gt=0)  # factor on both learning rates
    warmup: int = Field(150, ge=1)
    hard: float = Field(0.0, ge=0, le=1)  # share of scenes with a look-alike of a queried object
    coloured: float = Field(0.0, ge=0, le=1)  # share of existence questions that name the colour too
    noise: float = Field(0.0, ge=0, lt=1)  # share of answers replaced by another option (label smoothing)

    def schedule(self, step: int) -> float:
        """Factor on the learning rates at a step of this phase."""
        return self.rate * min(1.0, (step + 1) / self.warmup) * (1.0 - step / self.steps)


class PretrainDefenderSettings(BaseModel, frozen=True, extra="forbid"):
    """Recipe of the base defender; all values *ours*.

    Plain scenes first: the model learns to see, but tells objects apart by colour and pair alone. Existence
    questions name the colour too until relations are learned; without that they stay at chance for as long as was
    tried (see the log). Then a short dose of a few look-alikes and of wrong answers: too little to make it safe
    (binding colour to shape is what the game goes on to teach), enough to make it unsure where it is weak, so
    that its sampled answers differ and RL finds a signal.
    """

    shape: DefenderShape = DefenderShape()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = (
        Phase(steps=1000, coloured=1.0),
        Phase(steps=700, coloured=1.0),
        Phase(steps=450, rate=0.7, warmup=30),
        Phase(steps=120, rate=0.3, warmup=10, hard=0.3, noise=0.04),
    )
    images: int = Field(16, ge=1)  # per step
    questions: int = Field(8, ge=1)  # per image
    muon_lr: float = Field(0.015, gt=0, le=10)  # 2-D weights
    adamw_lr: float = Field(3e-3, gt=0, le=10)  # embeddings, biases, norms, heads
    grad_clip: float = Field(1.0, gt=0)
    heads_weight: float = Field(1.0, ge=0)  # of the throw-away heads' loss

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> tuple[Phase, int]:
        """The phase that step 0, 1, ... belongs to, and its number within it."""
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        raise IndexError(step)


class VisualHeads(nn.Module):
    """Linear readings of a visual token: kind and colour of its cell (0 = nothing), its row and column."""

    def __init__(self, hidden: int):
        super().__init__()
        sizes = (len(KINDS) + 1, len(COLOURS) + 1, GRID, GRID)
        self.readings = nn.ModuleList(nn.Linear(hidden, size) for size in sizes)

    def loss(self, visual: Tensor, targets: Tensor) -> Tensor:
        """visual `[N, hidden]`, targets `int64 [N, 4]`; position counts a quarter."""
        weights = (1.0, 1.0, 0.25, 0.25)
        losses = [
            weight * F.cross_entropy(reading(visual), targets[:, i])
            for i, (weight, reading) in enumerate(zip(weights, self.readings, strict=True))
        ]
        return torch.stack(losses).sum()


def cell_targets(layout: Layout) -> np.ndarray:
    """`int64 [GRID * GRID, 4]`: kind + 1, colour + 1 (0 where the cell is free), row, column."""
    targets = np.zeros((GRID, GRID, 4), dtype=np.int64)
    targets[..., 2], targets[..., 3] = np.indices((GRID, GRID))
    for o in layout.objects:
        targets[o.row, o.col, :2] = KINDS.index(o.kind) + 1, COLOURS.index(o.colour) + 1
    return targets.reshape(-1, 4)


class Packer:
    """Cuts the chat prompt behind its image and caches the token ids of questions and answers."""

    def __init__(self, defender: QwenDefender):
        self.tokenizer, self.eos = defender.tokenizer, int(defender.eos_ids[0])
        self.head, self.tail = defender.encoder.chat("\0").split("\0")
        self._cache: dict[Question, tuple[list[int], list[int]]] = {}

    def row(self, question: Question) -> tuple[list[int], list[int]]:
        """Ids of the question up to the assistant's turn, and of the answer with end-of-turn."""
        if question not in self._cache:
            prompt = self.tokenizer(question_prompt(question) + self.tail).input_ids
            answer = self.tokenizer(gold_answer(question)).input_ids + [self.eos]
            self._cache[question] = prompt, answer
        return self._cache[question]

    def pack(self, asked: list[list[Question]]) -> tuple[Tensor, Tensor]:
        """Token ids and answer mask, both `[B, n, T]`, right-padded."""
        rows = [[self.row(question) for question in questions] for questions in asked]
        length = max(len(prompt) + len(answer) for row in rows for prompt, answer in row)
        shape = (len(rows), len(rows[0]), length)
        ids = np.full(shape, self.tokenizer.pad_token_id, dtype=np.int64)
        mask = np.zeros(shape, dtype=bool)
        for i, row in enumerate(rows):
            for j, (prompt, answer) in enumerate(row):
                end = len(prompt) + len(answer)
                ids[i, j, :end] = prompt + answer
                mask[i, j, len(prompt) : end] = True
        return torch.from_numpy(ids), torch.from_numpy(mask)


def pretrain_defender(
    settings: PretrainDefenderSettings,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
    start: QwenDefender | None = None,
) -> QwenDefender:
    """Train a base defender from scratch (or go on with `start`). Same settings and seed, same bits."""
    defender = start or QwenDefender.new(settings.shape, build_tokenizer(WORDS, PHRASES), seed=seed)
    model, packer = defender.model.train(), Packer(defender)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = VisualHeads(model.config.text_config.hidden_size)
    rates = {"muon_lr": settings.muon_lr, "adamw_lr": settings.adamw_lr}
    optimizer = MuonAdamW(model, heads, **rates, grad_clip=settings.grad_clip)
    first = checkpoint.restore(**optimizer.state) if checkpoint else 0
    if log:
        log.resume(first)
    for step in range(first, settings.steps):
        phase, since = settings.phase_at(step)
        layouts, asked = draw_batch(settings, seed, step)
        prompts = defender.encoder.encode_texts([render(x) for x in layouts], [packer.head] * len(layouts))
        ids, mask = packer.pack(asked)
        visual = image_features(model, prompts.pixel_values, prompts.image_grid_thw)
        logits = model.lm_head(packed_hidden(model, prompts, ids, visual)[mask])
        answer_loss = F.cross_entropy(logits, ids[mask])
        targets = torch.from_numpy(np.concatenate([cell_targets(layout) for layout in layouts]))
        heads_loss = heads.loss(visual, targets)
        norm = optimizer.step(answer_loss + settings.heads_weight * heads_loss, phase.schedule(since))
        if log:
            right = (logits.argmax(-1) == ids[mask]).float().mean()
            log.write(
                step + 1,
                loss=answer_loss.item(),
                heads=heads_loss.item(),
                token_accuracy=right.item(),
                grad_norm=norm,
            )
        if checkpoint:
            checkpoint.save(step + 1, **optimizer.state)
    model.eval()
    return defender


def draw_batch(
    settings: PretrainDefenderSettings, seed: int, step: int
) -> tuple[list[Layout], list[list[Question]]]:
    """Layouts and questions of one step: a pure function of its arguments."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0xDEF, step])))
    phase, _ = settings.phase_at(step)
    layouts = [draw_layout(rng, phase.hard) for _ in range(settings.images)]
    asked = [
        [q for q, _, _ in questions_for(layout, rng, settings.questions, coloured=phase.coloured)]
        for layout in layouts
    ]
    if phase.noise:
        asked = [[_mislabel(q, rng) if rng.random() < phase.noise else q for q in row] for row in asked]
    return layouts, asked


def _mislabel(question: Question, rng: np.random.Generator) -> Question:
    options = len(question.options)
    return dataclasses.replace(question, answer=(question.answer + int(rng.integers(1, options))) % options)
