"""What holds the things of COCO's labels, and how large they are: what the forge knows of the world (*ours*)."""

from __future__ import annotations

from typing import Literal

Support = Literal["ground", "top", "sky", "own"]
"""What holds a thing: the ground; a table or the like; nothing; "own": only where another of its label is."""

SUPERCATEGORIES = tuple(
    frozenset(group.split(", "))
    for group in (
        "bicycle, car, motorcycle, airplane, bus, train, truck, boat",
        "traffic light, fire hydrant, stop sign, parking meter, bench",
        "bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, teddy bear, person",
        "backpack, umbrella, handbag, tie, suitcase",
        "frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, "
        "tennis racket",
        "bottle, wine glass, cup, fork, knife, spoon, bowl, vase, potted plant",
        "banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake",
        "chair, couch, bed, dining table, toilet, bench",
        "tv, laptop, mouse, remote, keyboard, cell phone, clock, book",
        "microwave, oven, toaster, sink, refrigerator",
        "scissors, toothbrush, hair drier",
    )
)
"""COCO's supercategories, with persons among the animals and a few labels in a second group."""
HEIGHTS = {
    "person": 1.65, "bicycle": 1.05, "car": 1.5, "motorcycle": 1.15, "bus": 3.1, "truck": 2.8, "dog": 0.55, "cat": 0.3,
    "horse": 1.7, "sheep": 0.85, "cow": 1.45, "elephant": 2.8, "bear": 1.2, "zebra": 1.45, "giraffe": 4.5,
    "fire hydrant": 0.75, "parking meter": 1.3, "bench": 0.85, "chair": 0.9, "couch": 0.85, "suitcase": 0.65,
    "backpack": 0.5, "potted plant": 0.6,
}  # fmt: skip
"""Typical heights in metres of what stands on the ground; COCO's labels."""
LENGTHS = {
    "bottle": 0.25, "wine glass": 0.2, "cup": 0.11, "fork": 0.19, "knife": 0.21, "spoon": 0.17, "bowl": 0.17,
    "banana": 0.19, "apple": 0.08, "sandwich": 0.15, "orange": 0.08, "broccoli": 0.12, "carrot": 0.15, "hot dog": 0.16,
    "pizza": 0.3, "donut": 0.1, "cake": 0.16, "vase": 0.28, "potted plant": 0.35, "laptop": 0.36, "mouse": 0.11,
    "remote": 0.18, "keyboard": 0.43, "cell phone": 0.14, "book": 0.24, "scissors": 0.17, "teddy bear": 0.35,
    "toothbrush": 0.18,
}  # fmt: skip
"""Typical longer sides in metres of what lies or stands on a table."""
ANIMALS = {"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}
"""What comes in many sizes, and stands by itself."""
WIDTHS = {"dining table": 1.4, "bench": 1.6, "bed": 1.8, "couch": 1.9}
"""What carries such things, and typical widths in metres."""
SKY = {"airplane": 1.0, "bird": 1.0, "kite": 1.0}  # sizes say nothing of heights there: as large as the other one
FIXED = (
    "tie", "umbrella", "handbag", "frisbee", "skis", "snowboard", "sports ball", "baseball bat", "baseball glove",
    "skateboard", "surfboard", "tennis racket", "train", "boat", "traffic light", "stop sign", "clock", "tv", "oven",
    "microwave", "toaster", "sink", "refrigerator", "toilet", "hair drier", "dining table", "bed",
)  # fmt: skip
"""Worn, held, hung, built in, or on rails or water: nothing tells where another one could be."""
OUTDOORS = {"car", "motorcycle", "bus", "truck", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe",
            "fire hydrant", "parking meter", "bench", "bicycle", "traffic light", "stop sign", "train"}  # fmt: skip
INDOORS = {"couch", "bed", "dining table", "toilet", "tv", "oven", "microwave", "toaster", "sink", "refrigerator",
           "keyboard", "mouse", "laptop", "remote"}  # fmt: skip
"""A thing of one of these sets goes where another of the set is."""


SHELVED = {"fork", "knife", "spoon", "scissors", "toothbrush", "cell phone", "teddy bear", "remote", "book"}
"""What hangs on walls, stands on shelves, is in hands: no sign of a table, unless it is seen on one."""


HOLLOW = {"chair", "bench", "bicycle", "umbrella", "potted plant", "dining table", "bed", "parking meter"}
"""Outlines of these hold what is seen between their parts, or leave out a part that holds them (pot, pole, cloth)."""


def support_of(label: str) -> Support:
    if label in SKY:
        return "sky"
    return "ground" if label in HEIGHTS else "top" if label in LENGTHS else "own"


def metres(label: str, support: str) -> float:
    """The typical size of a thing on such a support; 1 where nothing is known of it."""
    sizes = {"ground": HEIGHTS, "top": LENGTHS, "carried": LENGTHS}.get(support, SKY)
    return sizes.get(label, 1.0)
