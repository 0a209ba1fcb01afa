"""A multimodal model in this process: any folder that transformers reads as image-text-to-text, in batches.

    LocalBackend(folder, *, batch=8, device=None, dtype=None, name=None)     `folder`: or a hub id

Greedy, or sampled with one stream of random numbers a question, so that a reply does not depend on how questions fall
into batches (but for rounding). Only what `Sampling` says acts on the decoding: of a folder's `generation_config.json`
only the end-of-turn tokens are taken, no repetition penalty or temperature (*ours*: the protocol line tells all).
No code of a folder is run, and only safetensors are read.
"""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PilImage
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList

from aot.backends.base.backend import Ask, Reply, Sampling, reply_key
from aot.backends.base.pictures import fitted
from aot.backends.local.folders import any_processor, base_of, load_model
from aot.data.images.decoding import BadPicture, opened, upright
from aot.errors import AotError
from aot.players.cache_argument import cache_argument
from aot.players.defender.token_sampling import InverseTransformSampling
from aot.players.end_tokens import end_tokens
from aot.players.special_tokens import PLACEHOLDERS, UNSAID
from aot.runs.files import sha256_of

WINDOW = 8
"""Batches' worth of questions that are sorted by length together."""
IDENTIFYING = {".json", ".jinja", ".safetensors", ".txt", ".model"}


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """A question made ready: the chat template's text, the images' files within the caps."""

    ask: Ask
    text: str
    files: tuple[bytes, ...]
    size: tuple[bool, int, int]
    """What is sorted by: whether there are images (never in one batch with those without), pixels, characters."""


class LocalBackend:
    """As `Backend`. An out-of-memory halves the batch for good; at one question a batch it raises `AotError`."""

    def __init__(
        self,
        folder: str | Path,
        *,
        batch: int = 8,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        name: str | None = None,
    ):
        self.folder, self.batch = str(folder), batch
        self.name = name or Path(folder).name
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = load_model(self.folder, dtype or ("auto" if device.type == "cuda" else torch.float32)).to(device)
        self.processor = any_processor(self.folder, self.model.config.model_type)
        self.tokenizer = self.processor.tokenizer
        config = self.model.config
        self.eos_ids = end_tokens(self.model.generation_config, self.processor)
        self.pad_id: int = self.eos_ids[0] if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        self.tokenizer.pad_token_id = self.pad_id
        self.model.generation_config = GenerationConfig(eos_token_id=self.eos_ids, pad_token_id=self.pad_id)
        self.image_token: str | None = getattr(self.processor, "image_token", None)
        self.image_id = next((i for key in PLACEHOLDERS[:2] if (i := getattr(config, key, None)) is not None), None)
        self.unsaid = sorted({i for key in UNSAID if (i := getattr(config, key, None)) is not None})
        self._identity: dict[str, Any] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Digests of the folder's files, or the hub's commit, and of the base that adapters only name; read once."""
        if self._identity is None:
            folder = Path(self.folder)
            files = sorted(p for p in folder.glob("*") if p.suffix in IDENTIFYING) if folder.is_dir() else []
            commit = getattr(self.model.config, "_commit_hash", None)
            model: Any = {p.name: sha256_of(p) for p in files} or {"id": self.folder, "commit": commit}
            self._identity = {"kind": "local", "model": model | base_of(self.folder), "dtype": str(self.model.dtype)}
        return self._identity

    def ask(self, asks: Iterable[Ask], sampling: Sampling) -> Iterator[tuple[Ask, Reply]]:
        source = iter(asks)
        while window := list(islice(source, WINDOW * self.batch)):
            prompts = []
            for ask in window:
                ready = self._prompt(ask, sampling)
                if isinstance(ready, Reply):
                    yield ask, ready
                else:
                    prompts.append(ready)
            prompts.sort(key=lambda prompt: prompt.size)
            while prompts:
                part = [p for p in prompts[: self.batch] if p.size[0] == prompts[0].size[0]]
                del prompts[: len(part)]
                yield from zip((p.ask for p in part), self._replies(part, sampling), strict=True)

    def _prompt(self, ask: Ask, sampling: Sampling) -> Prompt | Reply:
        """The question as the model's chat template has it; a reply where it cannot be asked."""
        try:
            files = tuple(fitted(part, sampling) for part in ask.content if isinstance(part, bytes))
            pixels = sum(width * height for width, height in (opened(file).size for file in files))
        except BadPicture as error:
            return Reply("", "error", f"{error.word}: {error}", attempts=0)
        parts = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in ask.content
        ]
        turn = [{"role": "user", "content": parts}]
        text = self.processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        if self.image_token and (found := text.count(self.image_token)) != len(files):
            why = f"control_token: {len(files)} images, but {found} {self.image_token} in the text"
            return Reply("", "error", why, attempts=0)
        return Prompt(ask, text, files, (bool(files), pixels, len(text)))

    def _replies(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Reply]:
        """One batch; smaller ones where it does not fit into memory or one image spoils it."""
        started, n = time.monotonic(), len(prompts)
        try:
            replies = self._generate(prompts, sampling)
            seconds = (time.monotonic() - started) / n
            return [dataclasses.replace(reply, seconds=seconds) for reply in replies]
        except torch.OutOfMemoryError as error:
            if n == 1:
                raise AotError(
                    "one question does not fit into the memory",
                    where=self.folder,
                    hint="smaller images (a cap on pixels), fewer new tokens, or a smaller dtype",
                ) from error
            self.batch = cut = n // 2
        except ValueError as error:  # BadPicture; a processor's word on images of an impossible shape
            if n == 1:
                return [Reply("", "error", f"unreadable_image: {error}", attempts=0)]
            cut = 1
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
        return [r for at in range(0, n, cut) for r in self._replies(prompts[at : at + cut], sampling)]

    def _inputs(self, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
        """The processor's tensors on the model's device, left-padded."""
        images: list[list[PilImage.Image]] = [[upright(opened(file)) for file in p.files] for p in prompts]
        first = self.tokenizer.bos_token
        inputs = self.processor(
            text=[p.text for p in prompts],
            images=images if prompts[0].files else None,
            padding=len(prompts) > 1,
            # Some templates write the sequence's first token, some leave it to the tokenizer.
            add_special_tokens=not (first and prompts[0].text.startswith(first)),
            return_tensors="pt",
        )
        on_device: dict[str, Tensor] = {key: value.to(self.model.device) for key, value in inputs.items()}
        return {k: v.to(self.model.dtype) if v.is_floating_point() else v for k, v in on_device.items()}

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Reply]:
        inputs = self._inputs(prompts)
        before = inputs["input_ids"].shape[1]
        draws = torch.stack([_draws(prompt.ask, sampling) for prompt in prompts]).to(self.model.device)
        sampler = InverseTransformSampling(sampling.temperature, sampling.top_p, draws, before, self.unsaid)
        ids = self.model.generate(
            **inputs,
            do_sample=False,  # `sampler` leaves one token to choose from where a sample is wanted
            max_new_tokens=sampling.max_new_tokens,
            logits_processor=LogitsProcessorList([sampler]),
        )[:, before:].tolist()
        prompt_tokens = inputs["attention_mask"].sum(-1).tolist()
        visual: list[int | None] = [None] * len(prompts)
        if self.image_id is not None:
            visual = (inputs["input_ids"] == self.image_id).sum(-1).tolist()
        replies = []
        for row, (prompt, said) in enumerate(zip(prompts, ids, strict=True)):
            end = next((i for i, token in enumerate(said) if token in self.eos_ids), None)
            own = said if end is None else said[:end]
            replies.append(
                Reply(
                    self.tokenizer.decode(own, skip_special_tokens=True),
                    "truncated" if end is None else "answered",
                    probabilities=self._probabilities(prompt) if prompt.ask.options else None,
                    prompt_tokens=prompt_tokens[row],
                    completion_tokens=len(own) + (end is not None),
                    visual_tokens=visual[row],
                )
            )
        return replies

    def _probabilities(self, prompt: Prompt) -> tuple[float, ...]:
        """Of each of n options as the whole answer, closed by the end of the turn; normalised over the options. The
        prompt is read once, its keys and values are shared."""
        ends = [
            [*self.tokenizer(option, add_special_tokens=False).input_ids, self.eos_ids[0]]
            for option in prompt.ask.options
        ]
        n, longest, device = len(ends), max(map(len, ends)), self.model.device
        ids = torch.full((n, longest), self.pad_id, device=device)
        real = torch.zeros((n, longest), dtype=torch.bool, device=device)
        for row, tokens in enumerate(ends):
            ids[row, : len(tokens)] = torch.tensor(tokens, device=device)
            real[row, : len(tokens)] = True
        inputs = self._inputs([prompt])
        keep = {}
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:  # else gigabytes of unread logits
            keep["logits_to_keep"] = 1
        if hasattr(getattr(self.model, "model", None), "rope_deltas"):
            self.model.model.rope_deltas = None  # Qwen's, left over from an image before; text alone would take it
        read = self.model(**inputs, **keep, use_cache=True)
        name = cache_argument(self.model)
        kept = getattr(read, name)
        layers = getattr(kept, "layers", ())
        if not all(hasattr(layer, "batch_repeat_interleave") for layer in layers):  # a recurrence's state
            return self._probabilities_alone(inputs, ends)
        kept.batch_repeat_interleave(n)
        # No mask: one prompt has no padding, and what is padded behind an option is seen by nothing that counts.
        more = self.model(input_ids=ids, **{name: kept}, use_cache=True)
        # The prompt's last position tells an option's first token, each token of it the next.
        logits = torch.cat([read.logits[:, -1:].expand(n, -1, -1), more.logits[:, :-1]], 1).float()
        logprobs = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
        scores = (logprobs * real).sum(-1).double()
        return tuple(scores.softmax(-1).tolist())

    def _probabilities_alone(self, inputs: dict[str, Tensor], ends: Sequence[list[int]]) -> tuple[float, ...]:
        """As `_probabilities`, the prompt read anew with each option behind it."""
        real, scores = inputs["attention_mask"].shape, []
        for end in ends:
            behind = {"input_ids": end, "attention_mask": [1] * len(end)}
            longer = {
                key: torch.cat([value, value.new_tensor([behind.get(key, [0] * len(end))])], 1)
                for key, value in inputs.items()
                if value.shape == real
            }
            if hasattr(getattr(self.model, "model", None), "rope_deltas"):
                self.model.model.rope_deltas = None
            logits = self.model(**(inputs | longer), use_cache=False).logits[0, -len(end) - 1 : -1].float()
            chosen = logits.log_softmax(-1).gather(-1, logits.new_tensor(end, dtype=torch.long)[:, None])
            scores.append(chosen.double().sum())
        return tuple(torch.stack(scores).softmax(-1).tolist())


def _draws(ask: Ask, sampling: Sampling) -> Tensor:
    """`float [max_new_tokens]`: the random numbers of a question, by its content, trial and the seed alone."""
    if sampling.temperature == 0:
        return torch.zeros(1)
    digest = reply_key({}, dataclasses.replace(ask, options=()), Sampling(seed=sampling.seed))
    generator = torch.Generator().manual_seed(int(digest[:15], 16))
    return torch.rand(sampling.max_new_tokens, generator=generator)
