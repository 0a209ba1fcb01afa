"""The base class of all defenders in this process: a model with its processor, limits, trainable weights, saving. How
it answers is in the subclasses: `qwen.py` (Qwen2.5-VL), `stock.py` (any other model)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PilImage
from torch import Tensor, nn
from transformers import GenerationConfig

from aot.answers import parse_answer
from aot.data.images.reading import size_within
from aot.errors import AotError
from aot.players.base_players import BASE, Base
from aot.players.defender.lora import Adapters, new_adapters
from aot.players.end_tokens import configured_end_tokens, end_tokens
from aot.players.linear import use_onednn
from aot.players.settings import LoraSettings
from aot.players.special_tokens import UNSAID
from aot.prompts import question_prompt
from aot.runs.files import write_json
from aot.types import Answer, Image, Question

Made = TypeVar("Made")
parsed = lru_cache(maxsize=65536)(parse_answer)
"""`parse_answer`, remembered: short answers repeat all the time."""


class TrainedDefender(ABC):
    """A `Defender` whose weights can be trained.

    `lora` says which adapters a training puts into it (rank 0: it trains all weights); `base` names the whole model
    that it is, or that its adapters belong to, where that is known; `checkpointing` (of activations) trades time for
    memory in trainings. `abstain`: its prompts offer not to answer.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        name: str = "defender",
        max_new_tokens: int = 12,
        batch: int = 8,
        area: tuple[int, int] = (0, 0),
        lora: LoraSettings | None = None,
        adapters: Adapters | None = None,
        base: Base | None = None,
        checkpointing: bool = False,
        abstain: bool = False,
    ):
        self.model, self.processor, self.name = use_onednn(model.eval()), processor, name
        self.tokenizer = processor.tokenizer
        self.max_new_tokens, self.batch, self.area = max_new_tokens, batch, area
        self.lora, self.adapters, self.base = lora or LoraSettings(), adapters, base
        self.checkpointing, self.abstain = checkpointing, abstain
        self.saved_generation_config = model.generation_config
        ends = end_tokens(self.saved_generation_config, processor)
        # A configuration class's default end token is not the tokenizer's: no folder should be saved with it.
        if not set(configured_end_tokens(self.saved_generation_config)) <= set(ends):
            self.saved_generation_config.eos_token_id = ends
        self.eos_ids = torch.tensor(ends)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token_id = ends[0]
        # No decoding default of the folder (temperature, penalties) applies, neither here nor in TRL's samples.
        self.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=self.tokenizer.pad_token_id)
        model.generation_config = self.generation_config
        ids = (getattr(model.config, key, None) for key in UNSAID)
        # An image placeholder sampled at high temperature would crash the next forward pass.
        self.suppressed_ids = list(dict.fromkeys(i for i in ids if i is not None))

    def prompt(self, question: Question) -> str:
        """The user's turn with a question."""
        return question_prompt(question, abstain=self.abstain)

    def prompt_length(self, question: Question) -> int:
        """A measure of the prompt's length, by which batches are sorted."""
        return len(self.prompt(question))

    @abstractmethod
    def answer(
        self,
        images: Sequence[Image],
        questions: Sequence[Question],
        *,
        k: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
        streams: Sequence[int] | None = None,
    ) -> list[tuple[Answer, ...]]:
        """As `Defender.answer`."""

    def draws(self, pairs: int, k: int, seed: int, streams: Sequence[int] | None) -> Tensor:
        """Random numbers `[pairs, k, max_new_tokens]` in [0, 1) for sampled answers, one a token."""
        if streams is None:
            return torch.rand(pairs, k, self.max_new_tokens, generator=torch.Generator().manual_seed(seed))
        seeds = [int(np.random.SeedSequence([seed, stream]).generate_state(1)[0]) for stream in streams]
        of_each = [torch.rand(k, self.max_new_tokens, generator=torch.Generator().manual_seed(one)) for one in seeds]
        return torch.stack(of_each) if of_each else torch.empty(0, k, self.max_new_tokens)

    @abstractmethod
    def answer_with_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, npt.NDArray[np.float64]]]:
        """As `Defender.answer_with_logprobs`."""

    @abstractmethod
    def complete(
        self, images: Sequence[Image], prompts: Sequence[str], draws: Tensor, *, temperature: float
    ) -> list[tuple[tuple[str, bool], ...]]:
        """k completions of each prompt (a user's turn with its image): the text, and whether it hit the limit of T
        tokens. draws: `float [B, k, T]` in [0, 1), a random number for each token; unused at temperature 0."""

    @abstractmethod
    def answer_losses(
        self, images: Sequence[Image], questions: Sequence[Question], answers: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Of each pair the cross-entropy in nats summed over the tokens of its right answer (or of `answers`), with
        gradients, and the number of these tokens, the end of the turn included; both `[B]`."""

    @abstractmethod
    def answer_tokens(self, question: Question, answer: str | None = None) -> int:
        """Number of tokens of the right answer (or of `answer`), the end of the turn included."""

    def option_logprobs(self, images: Sequence[Image], questions: Sequence[Question]) -> list[npt.NDArray[np.float64]]:
        """Per pair `float64 [options]`: log-probability of each option's canonical answer, normalised."""
        return [logprobs for _, logprobs in self.answer_with_logprobs(images, questions)]

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    def picture(self, image: Image) -> PilImage.Image:
        """The image as the processor is given it: within the pixels of `area`, where it does not see to that itself."""
        picture = PilImage.fromarray(image)
        size = size_within(*picture.size, self.area[0] or None, self.area[1] or None)
        return picture if size == picture.size else picture.resize(size, PilImage.Resampling.BICUBIC)

    def split_on_oom(self, part: list[int], work: Callable[[list[int]], list[Made]]) -> list[Made]:
        """`work` on the batch `part`; where that runs out of memory, on its halves, and later batches are as small.
        Raises `AotError` where a single prompt does not fit."""
        try:
            return work(part)
        except torch.OutOfMemoryError as error:
            if len(part) == 1:
                hint = "players.defender: a smaller max_pixels, max_new_tokens or dtype"
                raise AotError("one prompt does not fit into the memory", where=self.name, hint=hint) from error
            self.batch = half = max(1, len(part) // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return [made for at in range(0, len(part), half) for made in self.split_on_oom(part[at : at + half], work)]

    def begin_training(self, *, seed: int) -> list[nn.Parameter]:
        """Readies the model for a training; the weights that it changes. Adapters that are wanted and not there yet are
        drawn by `seed`. Raises `AotError` for weights that cannot learn."""
        if self.adapters is None and self.lora.rank:
            self.adapters = new_adapters(self.model, self.lora, seed=seed)
        learning = [p for p in self.model.parameters() if p.requires_grad]
        if coarse := next((p.dtype for p in learning if p.dtype != torch.float32), None):
            what = f"whole weights in {str(coarse).removeprefix('torch.')} lose small updates: they would not learn"
            hint = "players.defender.dtype=float32 (with dapo.trl.bf16=true), or players.defender.lora.rank=64"
            raise AotError(what, where="players.defender.dtype", hint=hint)
        if self.checkpointing:
            name = "activation_checkpointing_enable"  # of transformers 5.2x, whose older name warns
            enable = getattr(self.model, name, self.model.gradient_checkpointing_enable)
            enable({"use_reentrant": False})
            if self.adapters is not None:
                self.model.enable_input_require_grads()  # else nothing before the first adapter has a gradient
        return learning

    @property
    def learned(self) -> Any:
        """The trained part, with torch's state-dict protocol: the whole model, or the adapters."""
        return self.adapters or self.model

    def learned_copy(self) -> dict[str, Tensor]:
        """A copy of it, as `learned.load_state_dict` takes it."""
        return {name: value.clone() for name, value in self.learned.state_dict().items()}

    def save(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """A folder that the stock classes open: the whole model as safetensors (`dtype` casts them) and JSON, or its
        adapters and the name of their base. A base that no training has touched is named alone. Of a whole model its
        own `generation_config.json` goes with it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.adapters is not None or self.lora.rank:
            if self.base is None:
                hint = "open it by aot.players.defender.opening.open_defender"
                raise AotError("adapters without a name of their base cannot be saved", where=str(folder), hint=hint)
            if self.adapters is None:
                write_json(folder / BASE, self.base.model_dump())
                return
            self.adapters.save(folder, self.base)
        else:
            weights = {k: v.to(dtype or v.dtype) for k, v in self.model.state_dict().items()}
            if getattr(self.model.config, "tie_word_embeddings", False):
                weights.pop("lm_head.weight", None)
            self.model.generation_config = self.saved_generation_config
            try:
                self.model.save_pretrained(folder, state_dict=weights)
            finally:
                self.model.generation_config = self.generation_config
        self.processor.save_pretrained(folder)
