"""Titles of attacks without training, for people; their names are those of settings and files. Pure."""

from __future__ import annotations

AGAINST = "@"
"""In a name, before the defender whose gradients the attack has: "pgd_8@base"."""
JOINT = "+"
"""In the name of a composition, between its two parts: "distractor+jpeg"."""
BY_GRADIENTS = {"pgd": "PGD", "apgd": "APGD", "robust_vlm": "RobustVLM"}
"""Their names go on with an eps in levels: "pgd_8"."""
TITLES = {
    "related": "Related distractor",
    "unrelated": "Unrelated distractor",
    "look_alike": "Look-alike",
    "mirrored": "Mirrored look-alike",
    "several": "Several distractors",
    "neutral": "Neutral shapes",
    "jpeg": "JPEG",
    "attacker": "Trained attacker",
}
"""Where the name itself, as words, would not do."""


def attack_title(name: str) -> str:
    """ "PGD 8/255 of base" of "pgd_8@base", "Look-alike + blur" of "look_alike+blur", "Removal" of "removal"."""
    made, _, against = name.partition(AGAINST)
    first, *others = map(_title, made.split(JOINT))
    title = " + ".join([first, *(part if part.isupper() else part.lower() for part in others)])
    return f"{title} of {against}" if against else title


def _title(name: str) -> str:
    family, _, eps = name.rpartition("_")
    if family in BY_GRADIENTS:
        return f"{BY_GRADIENTS[family]} {eps}/255"
    words = TITLES.get(name) or BY_GRADIENTS.get(name) or name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
