"""Which tokens end an answer, and with which of them the chat template closes a turn.

    end_tokens(generation_config, processor) -> ids, the end-of-turn token first

A folder may name several: Gemma 3's list begins with the end-of-text token, while its turns end with another. Any of
them ends a generated answer; answers that are trained on or scored are closed by the one that the template writes, or
by the tokenizer's.
"""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

MARK = "0174"
"""A placeholder answer that occurs in no template."""


def end_tokens(generation_config: Any, processor: Any) -> list[int]:
    """The end tokens of `generation_config` and the tokenizer's own, as TRL and vLLM combine them. Without a
    `generation_config.json`, transformers takes those of the model's configuration, often its class's default: of these
    only special tokens count."""
    tokenizer = processor.tokenizer
    ids = configured_end_tokens(generation_config)
    if getattr(generation_config, "_from_model_config", False):
        special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        ids = [i for i in ids if i in special]
    if tokenizer.eos_token_id is not None:
        ids.append(int(tokenizer.eos_token_id))
    closing = next((i for i in _behind_answer(processor) if i in ids), tokenizer.eos_token_id)
    return list(dict.fromkeys(ids if closing is None else [int(closing), *ids]))


def configured_end_tokens(generation_config: Any) -> list[int]:
    """The end tokens that it names itself."""
    told = generation_config.eos_token_id
    return [] if told is None else [told] if isinstance(told, int) else [int(i) for i in told]


def _behind_answer(processor: Any) -> list[int]:
    """The tokens that the chat template writes behind an assistant's answer; none where it takes no such turn."""
    asked = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}
    answered = {"role": "assistant", "content": [{"type": "text", "text": MARK}]}
    try:
        text: str = processor.apply_chat_template([asked, answered], tokenize=False)
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
        return []
    _, found, behind = text.rpartition(MARK)
    ids: list[int] = processor.tokenizer(behind, add_special_tokens=False).input_ids if found else []
    return ids
