"""Every sentence a model of ours reads, in one place: the same text for the miniature and for 7 B."""

from __future__ import annotations

from aot.types import LETTERS, EditKind, Question, Scene

ANSWER_FORMAT = "Answer with the option's letter in \\boxed{}."

EDIT_VERBS: dict[EditKind, str] = {
    "any": "Edit the image so that this question is answered wrongly:",
    "add": "Add an object so that this question is answered wrongly:",
    "remove": "Remove an object so that this question is answered wrongly:",
    "replace": "Replace an object so that this question is answered wrongly:",
    "hybrid": "Add and remove objects so that this question is answered wrongly:",
}
KEEP = "Do not touch"

EDIT_TEMPLATE = (
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"
)
"""Condition template of the miniature editor: Qwen-Image-Edit's without its system sentence."""


def question_prompt(question: Question) -> str:
    """User turn for a defender: question, lettered options, the answer format of the AOT release."""
    options = "".join(f"\n{LETTERS[i]}. {option}" for i, option in enumerate(question.options))
    return f"{question.text}{options}\n{ANSWER_FORMAT}"


def gold_answer(question: Question, choice: int | None = None) -> str:
    """Canonical response: the option's words, then its letter in a box."""
    choice = question.answer if choice is None else choice
    return f"{question.options[choice]} \\boxed{{{LETTERS[choice]}}}"


def attack_instruction(scene: Scene, kind: EditKind = "any") -> str:
    """What an editing attacker is told: what to do, the question, what it must not touch."""
    names = dict.fromkeys(f"{b.attribute} {b.label}".strip() for b in scene.protected if b.label)
    keep = f" {KEEP}: {', '.join(names)}." if names else ""
    return f"{EDIT_VERBS[kind]} {scene.question.text}{keep}"
