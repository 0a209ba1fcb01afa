"""A small byte-level BPE with Qwen's pre-tokenizer and special tokens: reads any text, ours in few tokens.

Departure from Qwen's: phrases of our prompts and each ` \\boxed{X}` are added tokens and every word of the
world is one token, so that a prompt has about 15 text tokens and an answer three (*ours*: split answer words
made a small model learn letters instead of things).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

from aot.players.special_tokens import (
    IM_END,
    PAD,
    SPECIAL_TOKENS,
)
from aot.prompts import ANSWER_FORMAT, EDIT_VERBS, FIRST_VERBS, KEEP
from aot.types import LETTERS

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pre-tokenizer's split of Qwen2 (transformers' Qwen2Tokenizer)."""

_TEMPLATE = ("user\n", "assistant\n")


def prompt_phrases() -> tuple[str, ...]:
    """Fixed pieces of `aot.prompts`: option letters, answer format, boxed letters, edit sentences."""
    letters = [f"\n{letter}. " for letter in LETTERS] + [f" \\boxed{{{letter}}}" for letter in LETTERS]
    verbs = [f"{EDIT_VERBS[kind]} " for kind in FIRST_VERBS]
    return (*_TEMPLATE, *letters, f"\n{ANSWER_FORMAT}", *verbs, f" {KEEP}: ")


def build_tokenizer(words: Sequence[str], phrases: Iterable[str]) -> Qwen2Tokenizer:
    """Tokenizer that reads any UTF-8 text. Same arguments, same tokens: nothing is sampled.

    words: single words (kinds, colours, options), one token each with and without a space before.
    phrases: pieces of text, each one token where it stands between word boundaries.
    """
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    # More room than the words can use: training goes on until each of them is a single token.
    trainer = trainers.BpeTrainer(
        vocab_size=8192,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    single = sorted({word for text in words for word in text.split()})
    bpe.train_from_iterator([form for word in single for form in (word, f" {word}")], trainer)
    trained = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=trained["vocab"],
        merges=[tuple(pair) for pair in trained["merges"]],
        unk_token=None,
        eos_token=IM_END,
        pad_token=PAD,
        extra_special_tokens=list(SPECIAL_TOKENS),
        model_max_length=32768,
        padding_side="left",
    )
    add_phrases(tokenizer, [*prompt_phrases(), *phrases])
    return tokenizer


def add_phrases(tokenizer: Qwen2Tokenizer, phrases: Iterable[str]) -> None:
    """Makes each phrase one token, where it is more; those that are known keep their numbers."""
    added = dict.fromkeys(phrases)
    tokenizer.add_tokens([_phrase_token(text) for text in added if len(tokenizer(text).input_ids) > 1])


def _phrase_token(text: str) -> AddedToken:
    # Only phrases that end in letters need boundaries ("Is the" must not cut "Is there" in two).
    wordlike = text[:1].isalnum() and text[-1:].isalnum()
    return AddedToken(text, single_word=wordlike, normalized=False, special=False)
