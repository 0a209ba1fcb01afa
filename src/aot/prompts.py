"""Every prompt that a model is given, in one place: the same text for the miniature and for 7 B."""

from __future__ import annotations

from aot.types import LETTERS, EditKind, Question, Scene

ANSWER_FORMAT = "Answer with the option's letter in \\boxed{}."
FREE_ANSWER_FORMAT = "Give the final answer in \\boxed{}."
ABSTENTION = "\\boxed{?}"
ABSTAIN_OFFER = f"If you cannot tell, answer {ABSTENTION} instead."

EDIT_VERBS: dict[EditKind, str] = {
    "any": "Edit the image so that this question is answered wrongly:",
    "add": "Add an object so that this question is answered wrongly:",
    "remove": "Remove an object so that this question is answered wrongly:",
    "replace": "Replace an object so that this question is answered wrongly:",
    "hybrid": "Add and remove objects so that this question is answered wrongly:",
}
FIRST_VERBS = tuple(EDIT_VERBS)
"""Kinds whose sentence is one token of the miniature's vocabulary. The sentences of later kinds end in one of these, so
that the shipped players keep their vocabulary."""
EDIT_VERBS |= {
    "scale": f"Make an object larger or smaller. {EDIT_VERBS['any']}",
    "texture": f"Change the background. {EDIT_VERBS['any']}",
    "occlude": f"Cover a place with a patch. {EDIT_VERBS['any']}",
}
KEEP = "Do not touch"
NULL_EDIT = "Keep the image exactly as it is. Change nothing."
"""The instruction of a null edit, which measures the editor alone: whatever changes was not asked for."""

EDIT_TEMPLATE = (
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"
)
"""Condition template of the miniature editor: Qwen-Image-Edit's without its system sentence."""

JUDGE_VERSION = 1
"""Goes up whenever a text below changes: scores of different versions are not comparable."""
JUDGE_QUESTIONS: dict[str, str] = {
    "realism": "Could this be one photo taken by one camera, with nothing pasted in, repeated or smeared?",
    "composition": "Does this image show one coherent scene, without a visible seam between two different images?",
    "duplication": "Is there exactly one {object} in this image?",
    "instruction_followed": "The right image is the left one after this edit: {instruction} Was the edit carried out?",
    "answer_preserved": (
        "The right image is the left one after an edit. Question: {question} Is {answer} still the only right answer "
        "for the right image?"
    ),
    "answer_correct": "Question about the image: {question} Reference answer: {answer} Given answer: {given} Does the "
    "given answer say the same as the reference?",
}
"""What a judge is asked of an image, or of two side by side; braces are filled in. Answered by yes or no."""
JUDGE_PREFERENCE = "Of these two images, left and right, for which one is this more true? {question}"
QUESTIONS_WANTED = (
    "Write {n} multiple-choice questions about what can be seen in this image: where objects are, how many there are, "
    "what colour they are, whether something is there. Each has 2 to 4 short options, of which exactly one is right. "
    "Use exactly this form for each, and nothing else:\nQuestion: ...\nA. ...\nB. ...\nAnswer: A"
)


def question_prompt(question: Question, *, abstain: bool = False) -> str:
    """User turn for a defender: question, lettered options, the answer format of the AOT release; without options the
    same format around words (*ours*). An empty option is not shown; the others keep their letters. `abstain` offers
    not to answer (*ours*)."""
    offer = f" {ABSTAIN_OFFER}" if abstain else ""
    if not question.options:
        return f"{question.text}\n{FREE_ANSWER_FORMAT}{offer}"
    options = "".join(f"\n{LETTERS[i]}. {option}" for i, option in enumerate(question.options) if option)
    return f"{question.text}{options}\n{ANSWER_FORMAT}{offer}"


def gold_answer(question: Question, choice: int | None = None) -> str:
    """Canonical response: the option's words, then its letter in a box; without options the reference in a box."""
    if not question.options:
        return f"\\boxed{{{question.reference}}}"
    choice = question.answer if choice is None else choice
    return f"{question.options[choice]} \\boxed{{{LETTERS[choice]}}}"


def attack_instruction(scene: Scene, kind: EditKind = "any") -> str:
    """What an editing attacker is told: what to do, the question, what it must not touch."""
    return edit_instruction(scene, f"{EDIT_VERBS[kind]} {scene.question.text}")


def edit_instruction(scene: Scene, sentence: str) -> str:
    """The sentence, and what must not be touched."""
    names = dict.fromkeys(f"{b.attribute} {b.label}".strip() for b in scene.protected if b.label)
    return f"{sentence} {KEEP}: {', '.join(names)}." if names else sentence


FORGE_PROMPTS = 1
"""Version of the texts below, which a generator of the forge reads; part of what a dataset depends on. All *ours*."""

EXTEND_PROMPT = (
    "Continue this photo beyond its border: the same place, the same light and the same camera, "
    "with ordinary things that belong there."
)
IMPLANT_PROMPT = "Add {thing} here, whole and in focus, with the light and the shadows of this photo."
REMOVE_PROMPT = "Remove what is here and continue the background behind it."
REPLACE_PROMPT = (
    "Replace what is here by {thing}, whole and in focus, with the light and the shadows of this photo."
)
PROPOSALS_WANTED = (
    "A question about this image: {question} ({options}) The right answer is {answer}. Suggest {n} small edits that "
    "make the question harder and leave its answer right. Never touch, hide or repeat: {protected}. Say one edit a "
    "line, in exactly one of these forms, and nothing else:\nadd: new object, where\nreplace: new object, object that "
    "goes\nremove: object that goes, where"
)
"""What a multimodal model is asked for where it proposes the distractors."""
FILL_NEGATIVE = "seam, frame, text, watermark, blurry, distorted, cut off"
"""What a fill is guided away from."""


def with_article(name: object) -> str:
    """ "a red cup", "an umbrella"."""
    words = str(name)
    return f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}"
