"""All families by name, made from the strengths of one settings object."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from aot.attacks.base import Family
from aot.attacks.corruptions import Corruption, blurred, compressed, noisy, relit
from aot.attacks.objects import ObjectEdit, limited
from aot.attacks.occlusion import Occlusion
from aot.attacks.strengths import Strengths
from aot.errors import AotError
from aot.forge.photo_source import PhotoPairSource


def families(
    names: Sequence[str],
    strengths: Strengths | None = None,
    pair_source: PhotoPairSource | None = None,
    *,
    where: str = "attacks",
) -> list[Family]:
    """The families of these names, each once, semantic ones first, in the order of `FAMILIES`. `pair_source`: makes the
    edits of photos' objects; without one only the world's scenes have any. Raises `AotError` for an unknown name;
    `where`: the option or setting that holds the names."""
    made = {family.name: family for family in _all(strengths or Strengths(), pair_source)}
    for name in names:
        if name not in made:
            close = difflib.get_close_matches(name, made, n=1)
            hint = (f"did you mean {close[0]}? " if close else "") + f"attacks: {', '.join(made)}"
            raise AotError(f"no such attack: {name!r}", where=where, hint=hint)
    return [family for name, family in made.items() if name in names]


def _all(s: Strengths, pair_source: PhotoPairSource | None) -> list[Family]:
    put_in = "An object is put in where it touches nothing that the question is about."
    goes = "An object that the question is not about goes, and the background closes over it."
    noise = "Every value moved up or down by {:g} to {:g} of 255.".format(*s.noise_levels)
    blur = "Gaussian, sigma {:g} to {:g} px.".format(*s.blur_sigma_px)
    jpeg = "Compressed to quality {:g} to {:g}.".format(*s.jpeg_quality)
    light = "Contrast changed by {:.0%} to {:.0%}, lightness by half as much.".format(*s.light_share)
    add, remove = limited(pair_source, "add"), limited(pair_source, "remove")
    return [
        ObjectEdit("distractor", "Distractor", put_in, "add", s.related, s.tries, add),
        ObjectEdit("removal", "Removal", goes, "remove", s.related, s.tries, remove),
        Occlusion(s.occlusion_share, s.occlusion_places),
        Corruption("noise", "Noise", noise, s.noise_levels, noisy, "Noise of {:.0f}/255."),
        Corruption("blur", "Blur", blur, s.blur_sigma_px, blurred, "Gaussian blur, sigma {:.1f} px."),
        Corruption("jpeg", "JPEG", jpeg, s.jpeg_quality, compressed, "JPEG of quality {:.0f}."),
        Corruption("brightness", "Brightness", light, s.light_share, relit, "Light changed by {:.0%}."),
    ]


FAMILIES = tuple(family.name for family in _all(Strengths(), None))
"""The names of all families."""
SEMANTIC = tuple(family.name for family in _all(Strengths(), None) if family.threat == "semantic")
PIXEL = tuple(family.name for family in _all(Strengths(), None) if family.threat == "pixel")
