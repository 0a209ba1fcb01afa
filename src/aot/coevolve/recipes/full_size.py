"""Recipes for Qwen-Image-Edit and Qwen2.5-VL at full size, on photos of one's own (`--data`).

`paper` has the published settings, each quoted at its field or here, else *ours*. The others derive from it by what
one GPU of 80 GB, one of 24 GB or eight of 80 GB force: adapters in place of whole weights, fewer edits and answers.
None of them has been run at that size (docs/scale.md); `aot plan RECIPE` says what each needs.
"""

from __future__ import annotations

from aot.coevolve.recipes.recipe import Recipe
from aot.train.attacker.evolve import AttackerTraining
from aot.train.attacker.flow_grpo.settings import paper_flow_grpo
from aot.train.defender.dapo.settings import paper_dapo
from aot.train.defender.sft.settings import DefenderSftSettings

EDITOR, DEFENDER_7B, DEFENDER_3B = "Qwen/Qwen-Image-Edit", "Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct"
LORA = {"rank": 64, "alpha": 128}
"""Flow-GRPO's code for Qwen-Image-Edit."""


def paper() -> Recipe:
    """The published settings for Qwen2.5-VL-7B, all of whose weights are trained, and Qwen-Image-Edit with adapters."""
    attacker = {
        "model": EDITOR,
        "dtype": "bfloat16",  # ours: adapters are float32 whatever this is
        "lora": LORA,
        "gradient_checkpointing": True,  # ours
        "conditions": "disk",  # ours
    }
    # AOT release; float32 masters: ours
    defender = {"model": DEFENDER_7B, "max_new_tokens": 4096, "gradient_checkpointing": True}
    warm_up = DefenderSftSettings(
        steps=15,
        batch=60,  # paper: 900 samples
        candidates=1,
        learning_rate=1e-5,  # ours
        per_forward=1,  # ours
    )
    return Recipe(
        name="paper",
        threads=8,
        processes=1,
        attacker=AttackerTraining(method="flow_grpo", flow_grpo=paper_flow_grpo()),
        dapo=paper_dapo(),
        warm_up=warm_up,
    ).changed(
        players={"attacker": attacker, "defender": defender},
        game={"max_pixels": 512 * 512},  # Flow-GRPO's code for Qwen-Image-Edit: 512 px; own shapes: ours
        attacks={"scripted_draws": 0, "chunk": 32},  # ours: a drawn sprite on a photo teaches little
        evaluation={"distractors": 1, "chunk": 32},  # ours
        pictures={"every": 5},  # ours
    )


def single_gpu() -> Recipe:
    """One GPU of 80 GB: both players by adapters, each stage in a process of its own, vLLM on the same card in turn."""
    flow_grpo = {"groups": 8, "group_size": 8, "window": 2, "minibatch": 32, "micro_batch": 4, "updates": 20}
    defender = {"dtype": "bfloat16", "lora": LORA, "max_new_tokens": 512, "gradient_checkpointing": True}
    # No image here is as large: it bounds what vLLM sets aside for the largest.
    defender["max_pixels"] = 1024 * 1024
    trl = {"completions_per_forward": 4}
    # The editor waits on the card while vLLM answers: 55 GiB of 80 with its text encoder.
    vllm = {"placement": "time_shared", "memory": 0.24, "max_model_len": 4096}
    return paper().changed(
        name="single_gpu",
        game={"train_scenes": 400, "held_out_scenes": 400},
        players={"attacker": {"conditions": "disk"}, "defender": defender},
        warm_up={"learning_rate": 1e-4},  # adapters learn at ten times the rate of whole weights
        attacker={"flow_grpo": flow_grpo},
        dapo={"groups": 16, "updates": 20, "learning_rate": 1e-5, "trl": trl},
        clean_rl=False,  # the control doubles the defender's time
        compute={"launch": "python", "answers": "vllm", "vllm": vllm},
    )


def small_gpu() -> Recipe:
    """One GPU of 24 GB: Qwen2.5-VL-3B and the editor, both in four bits under smaller adapters. The defender answers in
    the trainer's process: beside the editor there is no room for a vLLM."""
    lora = {"rank": 16, "alpha": 32}
    return single_gpu().changed(
        name="small_gpu",
        game={"max_pixels": 384 * 384},
        players={
            "attacker": {"quantization": "nf4", "lora": lora},
            "defender": {"model": DEFENDER_3B, "quantization": "nf4", "lora": lora, "max_new_tokens": 256},
        },
        attacker={"flow_grpo": {"micro_batch": 1}},
        dapo={"groups": 8, "trl": {"completions_per_forward": 1, "vllm": "off"}},
        compute={"answers": "in_process"},
    )


def eight_gpus() -> Recipe:
    """Eight GPUs of 80 GB: the published numbers of edits, and DAPO's of answers, by adapters."""
    flow_grpo = {"groups": 32, "group_size": 16, "minibatch": 256, "updates": 40, "window": 4}
    return single_gpu().changed(
        name="eight_gpus",
        game={"train_scenes": 1600, "held_out_scenes": 1000},
        players={"defender": {"max_new_tokens": 2048}},
        attacker={"flow_grpo": flow_grpo},
        dapo={"groups": 128, "updates": 60},
        clean_rl=True,
        # Ranks cannot take turns with one server: each has a copy of the defender beside the editor.
        compute={"launch": "torchrun --standalone --nproc-per-node 8", "answers": "in_process"},
    )
