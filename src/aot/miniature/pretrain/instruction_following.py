"""How well an editor of the miniature world follows instructions: plain editing tasks, and attacks of a named kind
(*ours*)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from aot.game.referee import Referee
from aot.miniature.pretrain.reader import is_wide
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.latents import decode_latents
from aot.types import EditKind
from aot.world.edit_traits import world_traits
from aot.world.edits import distractor_candidates, instruction_edits
from aot.world.recognise import Recognition, read
from aot.world.scenes import WorldScene, render


def edits_as_instructed(
    attacker: EditAttacker,
    scenes: Sequence[WorldScene],
    *,
    seed: int,
    kinds: Mapping[EditKind, float] | None = None,
) -> dict[str, float]:
    """By kind of edit, the share of plain editing tasks after which exactly the wanted objects are recognised. Where
    the sentence leaves the place open ("Add a red cup."), any free cell is right."""
    rng = np.random.default_rng(seed)
    edits = [instruction_edits(scene, rng, kinds=kinds) for scene in scenes]
    conditions = attacker.conditions([s.image for s in scenes], [sentence for _, _, sentence in edits])
    generator = torch.Generator().manual_seed(seed)
    latents = attacker.sample(conditions, attacker.noise(conditions, generator))
    images = np.stack(decode_latents(attacker.vae, conditions.images, latents))
    asked = [render(layout) for _, layout, _ in edits]
    also_wide = is_wide(kinds)
    done: dict[str, list[bool]] = defaultdict(list)
    as_asked, as_painted = (read(some, scenes, also_wide=also_wide) for some in (np.stack(asked), images))
    for scene, (kind, _, sentence), seen, right in zip(scenes, edits, as_painted, as_asked, strict=True):
        wanted, got = _cells(right), _cells(seen)
        before = _cells(Recognition(scene.objects, sizes=tuple(o.side_px for o in scene.layout.objects)))
        if sentence.startswith("Add "):
            added = sorted(name for name, _ in wanted - before) == sorted(name for name, _ in got - before)
            done[kind].append(added and wanted & before == got & before and not seen.unrecognised)
        else:
            done[kind].append(wanted == got and not seen.unrecognised)
    return {kind: float(np.mean(values)) for kind, values in sorted(done.items())}


def _cells(seen: Recognition) -> set[tuple[str, tuple[int, int]]]:
    """What is where: (size, colour and kind, or a surface's name; cell)."""
    objects = zip(seen.objects, seen.sizes, strict=True)
    found = {(f"{n} {b.attribute} {b.label}", ((b.y0 + b.y1) // 32, (b.x0 + b.x1) // 32)) for b, n in objects}
    return found | set(seen.surfaces)


def attacks_as_instructed(
    attacker: EditAttacker, scenes: Sequence[WorldScene], referee: Referee, kinds: Iterable[EditKind], *, seed: int
) -> dict[str, dict[str, float]]:
    """Of attacks whose instruction names a kind of edit, the share that is of this kind ("done"), that the referee lets
    pass ("valid"), and both; on those scenes alone where some edit of the kind is possible ("scenes" of them)."""
    rng, found = np.random.default_rng(seed), {}
    for kind in kinds:
        possible = [scene for scene in scenes if distractor_candidates(scene, rng, 1, kind=kind)]
        attacks = attacker.attack(possible, seed=seed, kind=kind)
        done = np.array([trait.kind == kind for trait in world_traits(possible, attacks)])
        valid = np.array([verdict.valid for verdict in referee.judge(possible, attacks)])
        shares = {"done": done.mean(), "valid": valid.mean(), "both": (done & valid).mean(), "scenes": len(possible)}
        found[str(kind)] = {name: float(value) for name, value in shares.items()}
    return found
