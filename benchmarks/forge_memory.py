"""Peak memory of `aot forge` on N and on 4 N photos: flat in the number of images, or not.

    python benchmarks/forge_memory.py [DATA] [--images 100] [--times 4] [--side 160]

DATA: a COCO-format folder; its photos are repeated under other ids, each with one other pixel, until there are N (and
4 N), so that a photo costs the same in both. None: photos drawn here. Each call is a process of its own.
Prints the peak resident memory of both in MB, their ratio, and what each further photo costs; a ratio of 1 is flat.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SCALE = 2**10 if sys.platform == "linux" else 1
LABELS = ("cup", "bowl", "bottle", "dog", "car", "bus")


def drawn(folder: Path, n: int = 16) -> Path:
    """Photos of grey ground with a few outlined ellipses on it."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images: list[dict[str, object]] = []
    notes: list[dict[str, object]] = []
    for i in range(n):
        picture = Image.new("RGB", (640, 480), tuple(int(v) for v in rng.integers(110, 140, 3)))
        for j, x in enumerate((100, 300, 500)):
            wide, high = (int(v) for v in rng.integers(60, 100, 2))
            box = (x, 380 - high, x + wide, 380)
            ImageDraw.Draw(picture).ellipse(box, fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            around = np.stack([x + wide / 2 * (1 + np.cos(angles)), 380 - high / 2 * (1 + np.sin(angles))], 1)
            notes.append(
                {
                    "id": len(notes),
                    "image_id": i,
                    "category_id": (i + j) % len(LABELS),
                    "bbox": [x, 380 - high, wide, high],
                    "segmentation": [around.ravel().tolist()],
                    "iscrowd": 0,
                }
            )
        picture.save(folder / "images" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 640, "height": 480})
    categories = [{"id": i, "name": name} for i, name in enumerate(LABELS)]
    (folder / "instances.json").write_text(
        json.dumps({"images": images, "annotations": notes, "categories": categories})
    )
    return folder


def repeated(data: Path, folder: Path, n: int) -> Path:
    """The photos of `data` over and over, as JSON lines: they are read one by one."""
    (folder / "images").mkdir(parents=True)
    content = json.loads((data / "instances.json").read_text())
    labels = {each["id"]: each["name"] for each in content["categories"]}
    notes: dict[int, list[dict[str, object]]] = {}
    for note in content["annotations"]:
        if not note.get("iscrowd"):
            segmentation = note["segmentation"]
            box = {"bbox": note["bbox"], "label": labels[note["category_id"]], "segmentation": segmentation}
            notes.setdefault(note["image_id"], []).append(box)
    with (folder / "rows.jsonl").open("w") as lines:
        for i in range(n):
            entry = content["images"][i % len(content["images"])]
            pixels = np.array(Image.open(data / "images" / entry["file_name"]).convert("RGB"))
            pixels[0, 0] = (i % 256, i // 256 % 256, 7)
            Image.fromarray(pixels).save(folder / "images" / f"{i}.png", compress_level=1)
            row = {"id": str(i), "image": f"images/{i}.png", "boxes": notes.get(entry["id"], []), "complete": True}
            lines.write(json.dumps(row) + "\n")
    return folder / "rows.jsonl"


def forged(rows: Path, out: Path, side_px: int) -> tuple[float, int]:
    """Peak MB of a call in a process of its own, and its pairs."""
    words = [sys.executable, __file__, "--child", str(rows), str(out), str(side_px)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    peak, pairs = done.stdout.split()[-2:]
    return float(peak), int(pairs)


def child(rows: Path, out: Path, side_px: int) -> None:
    from aot.forge.pipeline import ForgeSettings, forge

    funnel = forge(rows, out, ForgeSettings(side_px=side_px), say=lambda _: None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * SCALE / 2**20
    print(peak, funnel["referee"]["kept"] if "referee" in funnel else 0)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        return child(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="a COCO-format folder; none: drawn photos")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--side", type=int, default=160, help="px to which longer sides are reduced")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work, peaks = Path(name), []
        data = given.data or drawn(work / "drawn")
        for n in (given.images, given.images * given.times):
            peak, pairs = forged(repeated(data, work / f"{n}", n), work / f"out{n}", given.side)
            peaks.append(peak)
            print(f"{n:6d} photos: {pairs:6d} pairs, peak {peak:7.1f} MB", flush=True)
    more = given.images * (given.times - 1)
    print(f"ratio {peaks[1] / peaks[0]:.3f}; {1024 * (peaks[1] - peaks[0]) / more:.1f} KB for each further photo")
    return None


if __name__ == "__main__":
    main()
