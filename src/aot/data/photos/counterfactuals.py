"""Counterfactual pairs of own photos: an edit of objects, and a question whose answer it changes (*ours*).

An edit that leaves the scene's question alone changes the answer of another one: a dog was put in, so "Is there a dog?"
has the answer no before it and yes after it, and one more is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from aot.data.photos.photo import AnnotatedScene
from aot.data.photos.questions import Contents, Kind, Query, answer, ask, protected
from aot.types import Attack

ASKED: tuple[Kind, ...] = ("existence", "count")
"""What the coming or going of an object decides."""


def scenes_of_edit(
    scene: AnnotatedScene, edit: Attack, rng: np.random.Generator
) -> tuple[AnnotatedScene, AnnotatedScene] | None:
    """The scene's image and the edited one, with a question about a label that occurs more or less often after it; None
    where the annotations do not say enough, or nobody knows the objects after the edit."""
    if edit.objects is None or scene.contents is None:
        return None
    before, after = scene.contents, replace(scene.contents, boxes=edit.objects)
    counts = Counter(box.label for box in before.boxes), Counter(box.label for box in after.boxes)
    changed = sorted(label for label in counts[0].keys() | counts[1].keys() if counts[0][label] != counts[1][label])
    queries = [
        Query(kind, label)
        for label in changed
        for kind in ASKED
        if label and _is_asked(kind, label, before) and _is_asked(kind, label, after)
    ]
    for i in rng.permutation(len(queries)):
        query = queries[i]
        rights = answer(query, before), answer(query, after)
        if None in rights or rights[0] == rights[1]:
            continue
        question = ask(query, before, rng)
        if rights[1] in question.options:
            one = replace(scene, question=question, query=query, protected=protected(query, before))
            other = replace(question, answer=question.options.index(rights[1]))
            after_it = replace(one, image=edit.image, question=other, contents=after, objects=after.boxes)
            return one, replace(after_it, protected=protected(query, after))
    return None


def _is_asked(kind: Kind, label: str, contents: Contents) -> bool:
    """As where questions are made: what is there is large enough to be seen, what is counted is few."""
    if kind == "count":
        return contents.is_countable(label)
    return all(contents.is_clear(box) for box in contents.named(label))
