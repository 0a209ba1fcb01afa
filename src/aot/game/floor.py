"""The floor of the referee's local rule: the local SSIM of protected boxes after an edit that should change nothing.

An autoencoder loses detail, and Qwen-Image-Edit shifts or zooms the image by some pixels. A threshold above what null
edits reach would refuse attacks for the editor's own distortion. So before an attacker is trained the local SSIM is
measured after a round trip through the autoencoder and after a null edit, on scenes with protected boxes, and a
threshold above the floor is refused. For an editor whose latents encode the change (the miniature's), the null edit is
the round trip of the source, which is exact. All *ours*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from aot.errors import AotError
from aot.game.referee import LocalSsim, RefereeSettings
from aot.players.attacker.latents import codes_changes, round_trip
from aot.prompts import NULL_EDIT, edit_instruction
from aot.types import Attack, Image, Scene

if TYPE_CHECKING:
    from aot.players.attacker.edit_attacker import EditAttacker

Scores = npt.NDArray[np.float64]


class FloorSettings(BaseModel, frozen=True, extra="forbid"):
    """How the floor is measured before a run. All *ours*."""

    scenes: int = Field(16, ge=0)  # null edits; of as many images as there are. 0: not measured, nothing is refused
    # Share of the null edits that must pass `referee.local_ssim_min`. Half: an editor that fails it more often than not
    # without editing gives the attacker's training little to learn from; a few scenes alone say no more than that.
    passing: float = Field(0.5, gt=0, le=1)


@dataclass(frozen=True, slots=True, eq=False)
class Floor:
    """By scene the lowest local SSIM of its protected boxes, `float64 [n]` each: after the round trip through the
    autoencoder, and after a null edit, sampled and kept on its source as an attack is."""

    round_trip: Scores
    null_edit: Scores

    @classmethod
    def of(cls, metrics: Mapping[str, Any]) -> Floor:
        """From the metrics of a stage."""
        return cls(np.array(metrics["round_trip"], np.float64), np.array(metrics["null_edit"], np.float64))

    @property
    def metrics(self) -> dict[str, list[float]]:
        return {"round_trip": self.round_trip.tolist(), "null_edit": self.null_edit.tolist()}

    def reached(self, share: float) -> float:
        """The highest threshold, rounded down to two decimals, that this share of the null edits passes."""
        least = float(np.sort(self.null_edit)[::-1][int(np.ceil(share * len(self.null_edit))) - 1])
        value = round(float(np.floor(least * 100 + 1e-6)) / 100, 2)
        return value if value <= least else round(value - 0.01, 2)


def measure_floor(
    attacker: EditAttacker, scenes: Sequence[Scene], referee: RefereeSettings, settings: FloorSettings, *, seed: int
) -> Floor:
    """The floor on `settings.scenes` of the scenes (fewer where there are fewer images with protected boxes)."""
    chosen = _spread(scenes, settings.scenes)
    tripped = [round_trip(attacker.vae, scene.image) for scene in chosen]
    edited = tripped
    if chosen and not codes_changes(attacker.vae):
        edited = attacker.edit(chosen, [edit_instruction(scene, NULL_EDIT) for scene in chosen], seed=seed)
    check = LocalSsim(referee.local_ssim_min, referee.window_px)

    def scores(images: Sequence[Image]) -> Scores:
        attacks = [Attack(scene.id, attacker.name, "any", image) for scene, image in zip(chosen, images, strict=True)]
        return np.array([finding.measured for finding in check(chosen, attacks)], np.float64)

    return Floor(scores(tripped), scores(edited))


def _spread(scenes: Sequence[Scene], most: int) -> list[Scene]:
    """At most `most` scenes with protected boxes, each of another image, evenly spaced over all."""
    by_image: dict[int, Scene] = {}
    for scene in scenes:
        if scene.protected:
            by_image.setdefault(id(scene.image), scene)
    found = list(by_image.values())
    return [found[i * len(found) // most] for i in range(most)] if len(found) > most else found


def floor_table(floor: Floor, referee: RefereeSettings) -> str:
    """Quantiles of both measurements, and the share that passes the threshold, in a few lines of text."""
    n, threshold = len(floor.null_edit), referee.local_ssim_min
    if not n:
        return "floor of the local SSIM: no scene has protected boxes, nothing to measure"
    lines = [f"floor of the local SSIM on {n} scenes (lowest box of each); referee.local_ssim_min={threshold:g}"]
    lines.append(f"  {'':16}{'lowest':>8}{'25 %':>8}{'median':>8}{'75 %':>8}{'highest':>9}{'pass':>8}")
    for name, scores in (("VAE round trip", floor.round_trip), ("null edit", floor.null_edit)):
        cells = "".join(f"{value:8.3f}" for value in np.quantile(scores, [0, 0.25, 0.5, 0.75]))
        lines.append(f"  {name:16}{cells}{scores.max():9.3f}{np.mean(scores >= threshold):8.0%}")
    return "\n".join(lines)


def refuse_above(floor: Floor, referee: RefereeSettings, settings: FloorSettings, *, keep: str) -> None:
    """Raises `AotError` where too few null edits pass `referee.local_ssim_min`; it names the value that would do.
    `keep`: the setting `players.attacker.keep` that the floor was measured with."""
    n, threshold = len(floor.null_edit), referee.local_ssim_min
    passed = int((floor.null_edit >= threshold).sum())
    if passed >= settings.passing * n:
        return
    other = {"none": "register (or paste_back)", "register": "paste_back"}.get(keep)
    first = f"--set players.attacker.keep={other} keeps the boxes where they were; or " if other else ""
    raise AotError(
        f"local_ssim_min={threshold:g} is above what this attacker reaches without editing: {passed} of {n} null edits "
        f"pass, floor.passing={settings.passing:g} of them must",
        where="referee.local_ssim_min",
        hint=f"{first}--set referee.local_ssim_min={floor.reached(settings.passing):g} would pass (the table above; a "
        "run that has begun keeps its recipe: choose another --out)",
    )
