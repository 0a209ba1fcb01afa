"""Pretraining of the miniature attacker's condition encoder: the base defender, taught to read instructions.

*Ours.* Qwen-Image-Edit conditions on a Qwen2.5-VL that has read all kinds of text. The miniature's base defender
has read questions only: of "Add a red cup." its last state tells kind and colour hardly better than chance (see the
log), and an editor cannot paint what it is not told. So the attacker's own copy is trained for a minute to
say, through throw-away heads on the instruction's last token, what the sentence is about: what is to be done,
and kind, colour and cell of the (up to) two objects that it names. The visual tower stays the defender's.

A reader that is trained on, for the wider kinds, is anchored: an editor already paints by what it says of the usual
ones, and without that paints wrongly afterwards (measured, see the log).
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration

from aot.miniature.cell_heads import DETAILS
from aot.miniature.pretrain.muon_adamw import MuonAdamW
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.shared_prefix import embed_prompts, packed_mask, text_states
from aot.players.processor import PromptBatch, PromptEncoder
from aot.prompts import EDIT_VERBS, FIRST_VERBS, attack_instruction
from aot.types import EditKind, Image
from aot.world.edits import WIDE_KINDS, instruction_edits
from aot.world.questions import QUESTION_KINDS
from aot.world.scenes import Layout, Placed, WorldScene, draw_scenes
from aot.world.sprites import COLOURS, GRID, KINDS, SIZES

if TYPE_CHECKING:
    from aot.runs.checkpoints import Checkpoint
    from aot.runs.train_log import TrainLog

VERBS: tuple[EditKind, ...] = FIRST_VERBS
ALL_VERBS: tuple[EditKind, ...] = tuple(EDIT_VERBS)
"""With the wider kinds."""
TASKS = (None, *((kind, axis) for kind in QUESTION_KINDS for axis in (None, "x", "y")))
"""What is asked: nothing (a plain editing task), or a type of question and its axis."""
OBJECT = {"kind": len(KINDS) + 1, "colour": len(COLOURS) + 1, "cell": GRID * GRID + 1}
"""Classes of what is said of one object; 0 = nothing."""
READINGS = {
    "verb": len(VERBS),
    "task": len(TASKS),
    **{f"first_{name}": size for name, size in OBJECT.items()},
    **{f"second_{name}": size for name, size in OBJECT.items()},
}
"""Each head and its number of classes."""
WIDE_READINGS = {**READINGS, "verb": len(ALL_VERBS), "detail": len(DETAILS) + 1}
"""With the wider kinds; the detail is what a sentence says besides objects, 0 = nothing."""


class ReaderSettings(BaseModel, frozen=True, extra="forbid"):
    """Recipe of the condition encoder; all values *ours*."""

    steps: int = Field(1000, ge=1)
    batch: int = Field(64, ge=2)  # half plain editing tasks, half attacks
    muon_lr: float = Field(8e-3, gt=0, le=10)
    adamw_lr: float = Field(2e-3, gt=0, le=10)
    warmup: int = Field(30, ge=1)
    grad_clip: float = Field(1.0, gt=0)
    # Weight of how far its states of the usual kinds' instructions move, where it is trained on; not told where it is 0
    anchor: float = Field(0.0, ge=0, exclude_if=operator.not_)

    def schedule(self, step: int) -> float:
        """Factor on the learning rates at step 0, 1, ...: warm-up, then linear decay."""
        return min(1.0, (step + 1) / self.warmup) * (1.0 - step / self.steps)


Example = tuple[Image, str, list[int]]
"""An image, an instruction about it, and its readings in the order of `READINGS`."""


def plain_example(
    scene: WorldScene, rng: np.random.Generator, kinds: Mapping[EditKind, float] | None = None
) -> Example:
    """A plain editing task: first what comes (its cell where the sentence fixes it), second what goes; of the wider
    `kinds` also the detail."""
    kind, after, sentence = instruction_edits(scene, rng, kinds=kinds)
    before = scene.layout.objects
    come = next((o for o in after.objects if o not in before), None)
    gone = next((o for o in before if o not in after.objects), None)
    said = _said(come)
    if kind not in ("replace", "scale"):
        said[2] = 0
    verb, detail = ALL_VERBS.index(kind), [_detail(kind, come, after)] if is_wide(kinds) else []
    return scene.image, sentence, [verb, 0, *said, *_said(gone), *detail]


def attack_example(
    scene: WorldScene, rng: np.random.Generator, kinds: Mapping[EditKind, float] | None = None
) -> Example:
    """An attack: the type of question, and the objects that it asks about."""
    verbs = ALL_VERBS if is_wide(kinds) else VERBS
    kind = verbs[int(rng.integers(len(verbs)))] if rng.random() < 0.3 else "any"
    query = scene.query
    said = []
    for name in (query.subject, query.other):
        there = [o for o in scene.layout.objects if name is not None and o.kind == name.kind]
        said.append(_said(there[0]) if there else [KINDS.index(name.kind) + 1 if name else 0, 0, 0])
    task, detail = TASKS.index((query.kind, query.axis)), [0] if is_wide(kinds) else []
    return scene.image, attack_instruction(scene, kind), [verbs.index(kind), task, *said[0], *said[1], *detail]


def is_wide(kinds: Mapping[EditKind, float] | None) -> bool:
    """Whether wider edits are among them, which have more to be read."""
    return not {*(kinds or ())}.isdisjoint(WIDE_KINDS)


def _detail(kind: EditKind, come: Placed | None, after: Layout) -> int:
    match kind:
        case "scale":
            assert come is not None
            said = SIZES[come.side_px]
        case "texture":
            said = after.texture
        case "occlude":
            said = after.patches[-1].name
        case _:
            return 0
    return DETAILS.index(said) + 1


def examples(
    seed: int,
    step: int,
    count: int,
    split: Any = "train",
    *,
    kinds: Mapping[EditKind, float] | None = None,
) -> list[Example]:
    """Fresh examples, a pure function of the arguments; the two sorts in turn."""
    rng = np.random.default_rng([seed, 0x5EAD, step])
    scenes = draw_scenes(count, int(rng.integers(2**31)), split)
    make = (partial(plain_example, kinds=kinds), partial(attack_example, kinds=kinds))
    # Question types rotate with the scene's number: pairs of scenes keep both rotations apart.
    return [make[(i // 4) % 2](scene, rng) for i, scene in enumerate(scenes)]


def last_states(
    model: Qwen2_5_VLForConditionalGeneration, encoder: PromptEncoder, template: str, batch: Sequence[Example]
) -> Tensor:
    """`[B, hidden]`: final hidden state of each instruction's last token, with gradients."""
    return states(model, asked(encoder, template, batch), 1)[:, 0]


def asked(encoder: PromptEncoder, template: str, batch: Sequence[Example]) -> PromptBatch:
    """The examples' prompts."""
    return encoder.encode_texts([x[0] for x in batch], [template.format(x[1]) for x in batch])


def states(model: Qwen2_5_VLForConditionalGeneration, prompts: PromptBatch, last: int) -> Tensor:
    """`[B, last, hidden]`: final hidden states of the prompts' last tokens, with gradients.

    As the stock pipeline asks its encoder: diffusers 0.42 passes no `mm_token_type_ids`, without which
    transformers 5 numbers visual tokens like words instead of by row and column.
    """
    positions = (prompts.attention_mask.long().cumsum(-1) - 1).clamp(min=0).expand(3, -1, -1)
    allowed = packed_mask(prompts.attention_mask, 0, 1)
    embeddings = embed_prompts(model, prompts)
    return text_states(model, embeddings, positions, allowed, first=embeddings.shape[1] - last)


def pretrain_reader(
    defender: QwenDefender,
    template: str,
    settings: ReaderSettings,
    *,
    seed: int,
    checkpoint: Checkpoint,
    log: TrainLog,
    kinds: Mapping[EditKind, float] | None = None,
) -> tuple[Qwen2_5_VLForConditionalGeneration, dict[str, Any]]:
    """A trained copy of the defender's model, and its held-out accuracy by reading. `kinds`: of edits that its
    instructions are about, as `instruction_edits`."""
    readings = WIDE_READINGS if is_wide(kinds) else READINGS
    before, encoder = defender.model, defender.encoder
    model = copy.deepcopy(before).train()
    model.requires_grad_(True).model.visual.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = nn.Linear(model.config.text_config.hidden_size, sum(readings.values()))
    rates = {"muon_lr": settings.muon_lr, "adamw_lr": settings.adamw_lr}
    optimizer = MuonAdamW(model, heads, **rates, grad_clip=settings.grad_clip)
    first = checkpoint.restore(**optimizer.state)
    log.resume(first)
    for step in range(first, settings.steps):
        batch = examples(seed, step, settings.batch, kinds=kinds)
        wanted, prompts = torch.tensor([x[2] for x in batch]), asked(encoder, template, batch)
        lengths = _lengths(model, prompts)
        said = states(model, prompts, int(lengths.max()) if settings.anchor else 1)
        read = heads(said[:, -1]).split([*readings.values()], -1)
        loss = torch.stack([F.cross_entropy(x, wanted[:, i]) for i, x in enumerate(read)]).mean()
        figures, total = {"loss": loss.item()}, loss
        if settings.anchor:
            usual = torch.tensor([ALL_VERBS[x[2][0]] not in WIDE_KINDS for x in batch])
            moved = _moved(said, before, prompts, lengths * usual)
            figures["moved"], total = moved.item(), loss + settings.anchor * moved
        norm = optimizer.step(total, settings.schedule(step))
        if (step + 1) % 10 == 0:
            log.write(step + 1, **figures, grad_norm=norm)
        checkpoint.save(step + 1, **optimizer.state)
    model.eval()
    return model, held_out_accuracy(model, heads, encoder, template, seed=seed, kinds=kinds)


def _lengths(model: Qwen2_5_VLForConditionalGeneration, prompts: PromptBatch) -> Tensor:
    """`int64 [B]`: tokens of each prompt behind its image, which are what an editor is given."""
    ends = (prompts.input_ids == model.config.vision_end_token_id).int().argmax(1)
    return prompts.input_ids.shape[1] - ends - 1


def _moved(said: Tensor, before: Qwen2_5_VLForConditionalGeneration, prompts: PromptBatch, lengths: Tensor) -> Tensor:
    """Mean square of how far the last `lengths [B]` states of each prompt are from `before`'s, as a share of these
    states' variance; scalar. said `[B, T, hidden]`: the states of all prompts' last tokens."""
    with torch.no_grad():
        were = states(before, prompts, said.shape[1])
    counted = torch.arange(said.shape[1])[None] >= said.shape[1] - lengths[:, None]
    return F.mse_loss(said[counted], were[counted]) / were[counted].var()


@torch.no_grad()
def held_out_accuracy(
    model: Qwen2_5_VLForConditionalGeneration,
    heads: nn.Linear,
    encoder: PromptEncoder,
    template: str,
    *,
    seed: int,
    kinds: Mapping[EditKind, float] | None = None,
) -> dict[str, float]:
    """Share of 512 held-out examples in which each reading is right."""
    readings = WIDE_READINGS if is_wide(kinds) else READINGS
    batch = examples(seed, 0, 512, "validation", kinds=kinds)
    wanted = torch.tensor([x[2] for x in batch])
    read = heads(last_states(model, encoder, template, batch)).split([*readings.values()], -1)
    pairs = zip(readings, read, strict=True)
    return {name: float((x.argmax(-1) == wanted[:, i]).float().mean()) for i, (name, x) in enumerate(pairs)}


def _said(placed: Placed | None) -> list[int]:
    if placed is None:
        return [0, 0, 0]
    cell = placed.row * GRID + placed.col
    return [KINDS.index(placed.kind) + 1, COLOURS.index(placed.colour) + 1, cell + 1]
