"""Tiny untrained vision-language models of the true classes, saved by stock `save_pretrained`.

python tests/tiny_models.py FOLDER     all of them, by name, below FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaProcessor,
    Qwen2_5_VLConfig,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from aot.players.base_players import player_folder
from aot.players.defender.opening import open_defender
from aot.players.processor import CHAT_TEMPLATE, Qwen3Processor, QwenProcessor
from aot.players.settings import DefenderSettings
from aot.players.special_tokens import IM_END, IMAGE_PAD, PAD, VIDEO_PAD, VISION_END, VISION_START
from aot.train.defender.sft.examples import SftExample
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.types import Scene

LLAVA_TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
)
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.2,  # answers that differ from each other, though nothing was learned
}

ENCODER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
"""Of images, in most families."""
QWEN_ENCODER = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
"""Of images, in Qwen's and those after it."""
ONE_TURN = LLAVA_TEMPLATE.replace("<image>\n", "<image>")

PUBLISHED = {"do_sample": True, "temperature": 1e-6, "repetition_penalty": 5.0}
"""Qwen2.5-VL's habits of decoding, its penalty of 1.05 made larger so that it would be seen."""


def tokenizer(**special_tokens: Any) -> Any:
    """The miniature's: four hundred words, and Qwen's special tokens."""
    return AutoTokenizer.from_pretrained(player_folder("miniature", "defender"), **special_tokens)


def words_with(*names: str, **named: str) -> Any:
    """The tokenizer with more special tokens; `named`: also as its attributes."""
    words = tokenizer(extra_special_tokens=named) if named else tokenizer()
    words.add_special_tokens({"additional_special_tokens": list(names)})
    return words


def special(words: Any) -> dict[str, int]:
    names = {
        "image_token_id": IMAGE_PAD,
        "video_token_id": VIDEO_PAD,
        "vision_start_token_id": VISION_START,
        "vision_end_token_id": VISION_END,
    }
    return {key: words.convert_tokens_to_ids(token) for key, token in names.items()}


def finished(model: Any, words: Any, folder: Path, **generation: Any) -> None:
    """Saves the model; its `generation_config` has an end of turn, and a habit that answers of ours must not follow."""
    ends = {"eos_token_id": words.convert_tokens_to_ids(IM_END), "pad_token_id": words.convert_tokens_to_ids(PAD)}
    model.generation_config.update(**ends, **generation)
    model.save_pretrained(folder)


def drawn(config: Any) -> Any:
    """A model with weights drawn by one seed, none of which keeps it from seeing."""
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    for name, parameter in model.named_parameters():
        if name.endswith("_gate"):  # shut when new: nothing would be seen
            torch.nn.init.ones_(parameter)
    return model


def build(kind: str, words: Any, folder: Path, processor: Any, text: dict[str, Any], **config: Any) -> None:
    """A model of a type, with a text half that `text` says more of, and its processor beside it."""
    text = {**TEXT, "vocab_size": len(words), "max_position_embeddings": 512, **text}
    model = drawn(AutoConfig.for_model(kind, text_config=text, **config))
    finished(model, words, folder, repetition_penalty=5.0)
    processor.save_pretrained(folder)


def qwen2_5_vl(folder: Path) -> None:
    """As published: patches of 14 px, two frames an image, grouped-query attention, weights of the head of its own."""
    words = tokenizer()
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    vision = {**QWEN_ENCODER, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, "vocab_size": len(words), "rope_parameters": rope}, vision_config=vision, **special(words)
    )
    finished(drawn(config), words, folder, **PUBLISHED)
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})
    QwenProcessor(images, words, chat_template=CHAT_TEMPLATE).save_pretrained(folder)


def qwen3_vl(folder: Path, kind: str = "qwen3_vl", **experts: Any) -> None:
    """As published: patches of 16 px, interleaved positions, deep stacking of visual features."""
    words = tokenizer()
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    vision = {**QWEN_ENCODER, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    images = Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 64 * 64, "longest_edge": 128 * 128})
    processor = Qwen3Processor(images, words, chat_template=CHAT_TEMPLATE)
    text = {"head_dim": 8, "rope_parameters": rope, **experts}
    build(kind, words, folder, processor, text, vision_config=vision, tie_word_embeddings=not experts, **special(words))


def llava(folder: Path) -> None:
    """Another family: a CLIP encoder of images of one size, a Llama."""
    words = words_with("<image>")
    vision = CLIPVisionConfig(**ENCODER, image_size=16, patch_size=8)
    text = LlamaConfig(**TEXT, vocab_size=len(words), max_position_embeddings=256)
    image_id = words.convert_tokens_to_ids("<image>")
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=image_id, image_seq_length=4)
    finished(drawn(config), words, folder, repetition_penalty=50.0)
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    ).save_pretrained(folder)


def gemma3(folder: Path) -> None:
    """A third: images see themselves both ways, layers look through a window."""
    names = {"boi_token": "<start_of_image>", "image_token": "<image_soft_token>", "eoi_token": "<end_of_image>"}
    words = tokenizer(extra_special_tokens=names)
    config = Gemma3Config(
        text_config={**TEXT, "vocab_size": len(words), "head_dim": 16, "sliding_window": 64},
        vision_config={**ENCODER, "image_size": 32, "patch_size": 8},
        mm_tokens_per_image=4,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
        image_token_id=words.image_token_id,
    )
    model = drawn(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)  # zero: it would be blind
    finished(model, words, folder, repetition_penalty=5.0)
    images = Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    template = LLAVA_TEMPLATE.replace("<image>\n", "<start_of_image>")
    Gemma3Processor(images, words, chat_template=template, image_seq_length=4).save_pretrained(folder)


def guesser(folder: Path, out: Path, scenes: Sequence[Scene]) -> None:
    """A model that knows the form of an answer and guesses the option: what a defender's RL can begin from."""
    defender = open_defender(folder, DefenderSettings(max_new_tokens=5), name="guesser")
    rng = np.random.default_rng(0)

    def examples(_: int) -> list[SftExample]:
        asked = [scenes[i].question for i in rng.integers(len(scenes), size=8)]
        guessed = [replace(question, answer=int(rng.integers(len(question.options)))) for question in asked]
        return [SftExample(scenes[0].image, question) for question in guessed]

    settings = DefenderSftSettings(steps=25, batch=8, learning_rate=2e-2, warmup_steps=0)
    train_defender_sft(defender, examples, settings, seed=0)
    defender.save(out)


class Built:
    """Folders of tiny models by name (`built / name`), each made when it is first asked for."""

    def __init__(self, root: Path, builders: Mapping[str, Callable[[Path], None]]):
        self.root, self.builders = root, builders

    def __truediv__(self, name: str) -> Path:
        if not (self.root / name).exists():
            self.builders[name](self.root / name)
        return self.root / name


BUILDERS: dict[str, Callable[[Path], None]] = {
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "llava": llava,
    "gemma3": gemma3,
}
"""By model type."""


if __name__ == "__main__":
    for name, builder in BUILDERS.items():
        builder(Path(sys.argv[1]) / name)
