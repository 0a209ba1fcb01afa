"""The referee's check that needs a world with known answers: whether the old answer is still right.

SSIM on the boxes cannot see a second cup elsewhere, which makes "the cup" ambiguous (measured: 2 to 8 %
of the edits of a trained attacker). Here the attacked image is read back and the question answered again
(*ours*; at full size the paper asks an MLLM for duplicates).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from aot.game.referee import Referee, RefereeSettings, build_referee
from aot.types import Attack, Box, Finding, Scene
from aot.world.questions import Name, Query, keeps_answer
from aot.world.recognise import Recognition, read
from aot.world.scenes import WorldScene

CHECK = "answer_preserved"
AT_ONCE = 256
"""Images that are read together; bounds memory."""


def world_referee(settings: RefereeSettings) -> Referee:
    """The settings' referee for scenes of the miniature world, whose answers can be worked out again."""
    kept = [AnswerPreserved(settings.object_edits_only, settings.wide_edits)] if settings.preserve_answer else []
    return build_referee(settings, kept)


@dataclass(frozen=True)
class AnswerPreserved:
    """Every changed cell must show a known object or bare background, each queried object must occur exactly
    as often as before, and the answer must be the same. `measured`: the worst cell's unexplained rest, as
    root mean square of 0..255 levels.

    With `object_edits_only` the objects must differ somewhere: paint that adds, removes and replaces nothing
    is no attack of this game. With `wide_edits` another size, a known texture or a known patch are recognised, too, and
    such a change; the queried objects keep their size. Scenes of other sources pass unmeasured (nan). Reasons:
    unrecognised, second_copy, queried_missing, queried_resized, answer_changed, no_object_edit.
    """

    object_edits_only: bool = True
    wide_edits: bool = False

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        findings = [Finding(CHECK, True, float("nan")) for _ in scenes]
        drawn = [(i, scene) for i, scene in enumerate(scenes) if isinstance(scene, WorldScene)]
        for start in range(0, len(drawn), AT_ONCE):
            part = drawn[start : start + AT_ONCE]
            images = np.stack([attacks[i].image for i, _ in part])
            seen = read(images, [scene for _, scene in part], also_wide=self.wide_edits)
            for (i, scene), recognition in zip(part, seen, strict=True):
                reason = self._reason(scene, recognition)
                findings[i] = Finding(CHECK, not reason, recognition.residual_rms, reason)
        return findings

    def _reason(self, scene: WorldScene, seen: Recognition) -> str:
        """Why the attack is refused; empty if it is not."""
        before, after = scene.layout.boxes, seen.objects
        if seen.unrecognised:
            return "unrecognised"
        if reason := _copies(scene.query, before, after):
            return reason
        if not keeps_answer(scene.query, before, after):
            return "answer_changed"
        sizes = [o.side_px for o in scene.layout.objects]
        if _sizes_asked(scene.query, before, sizes) != _sizes_asked(scene.query, after, seen.sizes):
            return "queried_resized"
        if self.object_edits_only and not seen.surfaces and _names(before, sizes) == _names(after, seen.sizes):
            return "no_object_edit"
        return ""


def _copies(query: Query, before: Sequence[Box], after: Sequence[Box]) -> str:
    """Whether a name that fits one object of the question now fits more, or none."""
    for name in query.names:
        was, now = len(name.among(before)), len(name.among(after))
        if was and now != was:
            return "second_copy" if now > was else "queried_missing"
    return ""


def _sizes_asked(query: Query, boxes: Sequence[Box], sizes: Sequence[int]) -> Counter[tuple[Name, int]]:
    """How large the objects of the question are."""
    pairs = list(zip(boxes, sizes, strict=True))
    return Counter((name, size) for name in query.names for box, size in pairs if name.among([box]))


def _names(boxes: Iterable[Box], sizes: Iterable[int]) -> Counter[tuple[Name, int, int, int]]:
    """Objects by name, rough place and size: a jitter of one pixel is no edit."""
    return Counter(
        (Name(b.label, b.attribute), (b.x0 + b.x1) // 32, (b.y0 + b.y1) // 32, size)
        for b, size in zip(boxes, sizes, strict=True)
    )
