"""What a person looks at: the dataset card (`README.md`) and the contact sheet, one self-contained HTML page."""

from __future__ import annotations

import base64
import heapq
import html
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image as PilImage

from aot.forge.dataset import FEATURES, read_rows
from aot.forge.pairs import decoded
from aot.forge.similarity import SHARES, Similarity
from aot.forge.store import PhotoStore
from aot.game.referee import CHUNK_PX, ssim_map
from aot.runs.files import replacing
from aot.types import LETTERS, Image

SHOWN = 48
"""Pairs on a contact sheet."""
SIDE_PX = 420
TABLES = ("kind", "question_kind", "distractor", "extended", "licence", "source")
"""Columns of which the card counts the values."""
META = [name for name in FEATURES if name not in ("clean", "attacked")]


def write_card(
    path: Path,
    shards: Mapping[str, Sequence[Path]],
    funnel: Mapping[str, Any],
    settings: Mapping[str, Any],
    similarity: Similarity,
    grown: int = 0,
) -> None:
    """The dataset card, with the header by which `datasets` and the Hub find the splits. `grown`: questions in
    `grown.jsonl`."""
    splits: dict[str, tuple[int, int]] = {}
    tables: dict[str, Counter[str]] = {name: Counter() for name in TABLES}
    for split, paths in shards.items():
        pairs, images = 0, set()
        for each in read_rows(paths, ["source_id", *TABLES]):
            pairs += 1
            images.add(each["source_id"])
            for name, table in tables.items():
                table[str(each[name])] += 1
        splits[split] = pairs, len(images)
    text = (
        _templates(finalize=_as_markdown)
        .get_template("card.md")
        .render(
            name=settings["name"],
            splits=splits,
            tables={name: table.most_common() for name, table in tables.items()},
            funnel=funnel,
            similarity=similarity,
            shares=SHARES,
            features=FEATURES,
            settings=settings,
            grown=grown,
            defender=settings.get("effective_against"),
        )
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_contact_sheet(
    path: Path,
    shards: Mapping[str, Sequence[Path]],
    funnel: Mapping[str, Any],
    similarity: Similarity,
    photos: PhotoStore | None = None,
) -> None:
    """Photo (of `photos`, where the scene is an extension of it), clean, attacked, protected boxes and SSIM map of some
    pairs: first one of every source image and kind, then a second."""
    every = [shard for paths in shards.values() for shard in paths]
    chosen = {name for *_, name in heapq.nsmallest(SHOWN, _ranked(every))}
    rows = [each for each in read_rows(every) if each["id"] in chosen]
    wanted = {each["source_id"] for each in rows if each["extended"]}
    originals: dict[str, dict[str, Any]] = {}
    if photos and wanted:
        numbers = {record.id: record.number for record in photos if record.id in wanted}
        originals = {name: _original(photos.image(number)) for name, number in numbers.items()}
    cards = [_shown(each, originals) for each in rows]
    text = (
        _templates()
        .get_template("contact_sheet.html")
        .render(
            cards=[card for card in cards if not card["extended"]],
            extensions=[card for card in cards if card["extended"]],
            pairs=sum(1 for _ in read_rows(every, ["id"])),
            funnel=funnel,
            similarity=similarity,
            shares=SHARES,
        )
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _ranked(shards: Sequence[Path]) -> Iterator[tuple[int, int, str]]:
    """Every pair as (how many of its photo and kind came before it, a number that spreads the choice, its id)."""
    turn: Counter[tuple[str, bool]] = Counter()
    source = None
    for each in read_rows(shards, ["id", "source_id", "kind", "extended"]):
        if each["source_id"] != source:
            source = each["source_id"]
            turn.clear()
        turn[each["kind"], each["extended"]] += 1
        yield turn[each["kind"], each["extended"]], zlib.crc32(each["id"].encode()), each["id"]


def _shown(each: Mapping[str, Any], originals: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    clean, attacked = decoded(each["clean"]["bytes"]), decoded(each["attacked"]["bytes"])
    height, width = clean.shape[:2]
    right = LETTERS.index(each["answer"])
    return {
        **{name: each[name] for name in META},
        "right": each["options"][right],
        "photo": originals.get(each["source_id"]) if each["extended"] else None,
        "clean": _uri(clean),
        "attacked": _uri(attacked),
        "ssim": _uri(_ssim_picture(clean, attacked)),
        "width": width,
        "height": height,
    }


def _original(photo: Image) -> dict[str, Any]:
    return {"uri": _uri(photo), "aspect": round(photo.shape[1] / photo.shape[0], 3)}


def _ssim_picture(clean: Image, attacked: Image) -> Image:
    """Local SSIM as a picture: white where nothing changed, dark where everything did."""
    window, height, width = 7, *clean.shape[:2]
    at_once = max(1, CHUNK_PX // width)
    bands = (slice(top, top + at_once + window - 1) for top in range(0, height - window + 1, at_once))
    maps = [ssim_map([clean[rows]], [attacked[rows]], window)[0].mean(-1) for rows in bands]
    similar = np.concatenate(maps).clip(0, 1)
    levels = cv2.copyMakeBorder((255 * similar).round().astype(np.uint8), 3, 3, 3, 3, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_BONE)[:, :, ::-1])


def _uri(image: Image) -> str:
    """A reduced JPEG, decoded and encoded here: never the data's own bytes."""
    picture, buffer = PilImage.fromarray(image), BytesIO()
    picture.thumbnail((SIDE_PX, SIDE_PX))
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _as_markdown(value: Any) -> Any:
    """Text from the data as one line of Markdown that is only text: no HTML, table cell, link or code of its own. JSON
    (of jinja's `tojson`, which leaves no "<" in it) stays JSON, without a fence that ends its block."""
    if isinstance(value, Markup):
        return value.replace("`", "\\u0060")
    if not isinstance(value, str):
        return value
    line = " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in value).split())
    line = html.escape(line, quote=False).replace("`", "'")
    return re.sub(r"([\\|*\[\]#~]|^-)", r"\\\1", line)


def _templates(finalize: Callable[[Any], Any] | None = None) -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    escape = jinja2.select_autoescape(["html"])
    return jinja2.Environment(
        loader=loader, autoescape=escape, trim_blocks=True, lstrip_blocks=True, finalize=finalize
    )
