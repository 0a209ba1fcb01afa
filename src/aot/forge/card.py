"""What a person looks at: the dataset card (`README.md`) and the contact sheet, one self-contained HTML page."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import torch
from PIL import Image as PilImage

from aot.files import replacing
from aot.forge.dataset import FEATURES, read_rows
from aot.forge.pairs import decoded
from aot.referee import ssim_map
from aot.types import LETTERS, Image

SHOWN = 48
"""Pairs on a contact sheet."""
SIDE_PX = 300
META = [name for name in FEATURES if name not in ("clean", "attacked")]


def write_card(
    path: Path, shards: Mapping[str, Sequence[Path]], funnel: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """The dataset card, with the header by which `datasets` and the Hub find the splits."""
    template = _templates().get_template("card.md")
    counts = {split: list(read_rows(paths, META)) for split, paths in shards.items()}
    rows = [each for part in counts.values() for each in part]

    def table(column: str) -> list[tuple[str, int]]:
        return Counter(str(each[column]) for each in rows).most_common()

    text = template.render(
        name=settings["name"],
        splits={split: (len(part), len({each["source_id"] for each in part})) for split, part in counts.items()},
        tables={name: table(name) for name in ("kind", "question_kind", "distractor", "extended", "licence", "source")},
        funnel=funnel,
        features=FEATURES,
        settings=settings,
        defender=settings.get("effective_against"),
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_contact_sheet(path: Path, shards: Mapping[str, Sequence[Path]], funnel: Mapping[str, Any]) -> None:
    """Clean, attacked, protected boxes and SSIM map of some pairs: first one of every source image, then a second."""
    every = [shard for paths in shards.values() for shard in paths]
    order = list(read_rows(every, ["id", "source_id", "kind"]))
    turn: Counter[tuple[str, str]] = Counter()
    ranked = []
    for each in order:
        turn[each["source_id"], each["kind"]] += 1
        ranked.append((turn[each["source_id"], each["kind"]], each["kind"] != "hybrid", each["id"]))
    chosen = {name for _, _, name in sorted(ranked)[:SHOWN]}
    cards = [_shown(each) for each in read_rows(every) if each["id"] in chosen]
    text = _templates().get_template("contact_sheet.html").render(cards=cards, pairs=len(order), funnel=funnel)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _shown(each: Mapping[str, Any]) -> dict[str, Any]:
    clean, attacked = decoded(each["clean"]["bytes"]), decoded(each["attacked"]["bytes"])
    height, width = clean.shape[:2]
    right = LETTERS.index(each["answer"])
    return {
        **{name: each[name] for name in META},
        "right": each["options"][right],
        "clean": _uri(clean),
        "attacked": _uri(attacked),
        "ssim": _uri(_ssim_picture(clean, attacked)),
        "width": width,
        "height": height,
    }


def _ssim_picture(clean: Image, attacked: Image) -> Image:
    """Local SSIM as a picture: white where nothing changed, dark where everything did."""
    x, y = (torch.tensor(image).permute(2, 0, 1)[None].float() / 255 for image in (clean, attacked))
    similar = ssim_map(x, y, 7)[0].mean(0).clamp(0, 1).numpy()
    levels = cv2.copyMakeBorder((255 * similar).round().astype(np.uint8), 3, 3, 3, 3, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_BONE)[:, :, ::-1])


def _uri(image: Image) -> str:
    """A reduced JPEG, decoded and encoded here: never the data's own bytes."""
    picture, buffer = PilImage.fromarray(image), BytesIO()
    picture.thumbnail((SIDE_PX, SIDE_PX))
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    escape = jinja2.select_autoescape(["html"])
    return jinja2.Environment(loader=loader, autoescape=escape, trim_blocks=True, lstrip_blocks=True)
