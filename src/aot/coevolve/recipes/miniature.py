"""Recipes for the miniature: minutes, or a night, of a two-core laptop. Sizes are *ours*, see docs/log.md."""

from __future__ import annotations

from aot.coevolve.recipes.recipe import Recipe

FAMILIES = (
    *("distractor", "related", "several", "replacement", "scale", "texture", "occlusion"),
    *("brightness", "shadow", "uneven_light", "blur", "jpeg", "tones", "viewpoint"),
)
"""Scripted attacks that the miniature trains on, beside those of its attackers. Left out, to measure what transfers:
unrelated objects, look-alikes, mirrored ones, neutral shapes, writing, removal and noise."""


def miniature() -> Recipe:
    """The demo: three iterations and the baselines, in six to forty minutes on two cores. Sizes are
    *ours*; docs/log.md."""
    # A higher temperature and more groups than usual: a small model that is sure soon gives only equal answers. And
    # averaged weights: what the last few updates forget of the clean scenes differs from one to the next.
    dapo = {
        "updates": 4,
        "learning_rate": 3e-4,
        "schedule": "constant",
        "ema": 0.95,
        "groups": 64,
        "max_draws": 4,
        "temperature": 1.5,
        "entropy_coef": 0.05,
        "max_completion_tokens": 16,
    }
    # One schedule over the whole method: every training ends at the rate at which the next one begins. SFT's steps
    # take about the method's CPU seconds, the control's a third: twice as many updates gained it nothing (docs/log.md).
    # Few clean images: where no attack is fair, and in pairs, there are some anyway.
    sft = {"batch": 48, "attacked_share": 0.9, "pool": 3, "counterfactual_share": 0.35}
    return Recipe(name="miniature").changed(
        game={"train_scenes": 250, "held_out_scenes": 800},
        warm_up={**sft, "steps": 190, "candidates": 1, "learning_rate": 1e-3, "muon_lr": 0.01, "final_rate": 0.8},
        scripted_attacks={
            "families": FAMILIES,
            # What moves the image is learned slowest: its tokens see every object elsewhere. Backgrounds differ most.
            "weights": (("viewpoint", 3), ("texture", 2)),
            "draws": 1,
            "composed_share": 0.75,
        },
        attacker={"method": "flow_grpo", "flow_grpo": {"updates": 6}},
        attacks={"scripted_draws": 1},
        curriculum={"rows": 400, "clean_share": 0.52},
        dapo=dapo,
        hits={**sft, "steps": 165, "learning_rate": 8e-4, "muon_lr": 0.008, "final_rate": 0.65},
        hits_share=0.06,
        hits_decay=0.65,
        sft_scripted_steps=850,
        clean_rl_updates=45,
        best_response_updates=12,
    )


def miniature_long() -> Recipe:
    """The same game unattended. All sizes *ours*; those of warm-up and baselines have not been run yet."""
    attacker = {"flow_grpo": {"updates": 160}}
    game = {"train_scenes": 2000, "held_out_scenes": 3000}
    return miniature().changed(
        name="miniature_long",
        game=game,
        attacker=attacker,
        curriculum={"rows": 3800},
        dapo={"updates": 40},
        hits={"steps": 300},
        sft_scripted_steps=3000,
        clean_rl_updates=1000,
        best_response_updates=100,
    )


def smoke() -> Recipe:
    """Every step once, in seconds, for tests: it learns nothing."""
    flow_grpo = {"updates": 2, "groups": 4, "group_size": 4}
    return miniature().changed(
        name="smoke",
        iterations=1,
        game={"train_scenes": 48, "held_out_scenes": 48},
        attacker={"flow_grpo": flow_grpo},
        dapo={"updates": 2, "groups": 2, "group_size": 4},
        evaluation={"distractors": 2},
        warm_up={"steps": 2, "batch": 8},
        scripted_attacks={"families": ("distractor", "occlusion")},
        hits={"steps": 1, "batch": 8},
        clean_rl_updates=0,
        sft_scripted_steps=2,
        best_response_updates=1,
    )
