"""Small files in the exact layout in which each benchmark is published, for the tests of its reader.

`LAYOUTS` maps (benchmark, layout) to a function that writes `n` questions into a folder and returns the path to give
and how many rows are left out. Answers are drawn at random, so that always saying one thing scores chance.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from PIL import Image as PilImage

Written = tuple[Path, int]
COLOURS = ("red", "green", "blue", "white")


def picture(number: int, kind: str = "PNG", size: tuple[int, int] = (12, 8)) -> bytes:
    """A small image file of its own."""
    out = io.BytesIO()
    PilImage.frombytes("RGB", size, random.Random(number).randbytes(3 * size[0] * size[1])).save(out, kind)
    return out.getvalue()


def base64_picture(number: int) -> str:
    return base64.b64encode(picture(number)).decode()


def write_tsv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n", restval="")
        table.writeheader()
        table.writerows(rows)
    return path


def write_parquet(path: Path, rows: Sequence[dict[str, Any]], *, images: Sequence[str] = ("image",)) -> Path:
    """As on the hub: images are structs of bytes and path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    struct = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.Table.from_pylist(list(rows))
    for name in images:
        index = table.schema.get_field_index(name)
        cells = pa.array([row.get(name) for row in rows], struct)
        table = table.set_column(index, name, cells) if index >= 0 else table.append_column(name, cells)
    pyarrow.parquet.write_table(table, path)
    return path


def cell(number: int) -> dict[str, Any]:
    return {"bytes": picture(number), "path": None}


def write_images(folder: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, "JPEG" if name.endswith("jpg") else "PNG"))


Rows = list[dict[str, Any]]


def lmu(n: int, rng: random.Random, *, options: int = 4, categories: Sequence[str] = ("one", "two")) -> Rows:
    """Rows of an LMUData TSV; every third row points to the image of the one before."""
    return [
        {
            "index": str(i),
            "image": str(i - 1) if i % 3 == 1 else base64_picture(i),
            "question": f"Which colour has thing {i}?",
            **{letter: f"{COLOURS[k % 4]} {k}" for k, letter in enumerate("ABCDEFG"[:options])},
            "answer": rng.choice("ABCDEFG"[:options]),
            "category": categories[i % len(categories)],
        }
        for i in range(n)
    ]


def lmu_yes_no(n: int, rng: random.Random, categories: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "index": str(i),
            "image": str(i - 1) if i % 3 == 1 else base64_picture(i),
            "image_path": f"COCO_{i // 3}.jpg",
            "question": f"Is there a thing {i} in the image?",
            "answer": rng.choice(["Yes", "No"]),
            "category": categories[i % len(categories)],
        }
        for i in range(n)
    ]


def vstar_folder(folder: Path, n: int, rng: random.Random) -> Written:
    for i in range(n):
        part = ("direct_attributes", "relative_position")[i % 2]
        options = [f"The colour is {c}." for c in rng.sample(COLOURS, 4 if i % 2 == 0 else 2)]
        own = {"target_object": ["dog"], "bbox": [[1, 2, 3, 4]], "question": f"What is dog {i}?", "options": options}
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / f"sa_{i}.json").write_text(json.dumps(own))
        (folder / part / f"sa_{i}.jpg").write_bytes(picture(i, "JPEG"))
    (folder / "OCR").mkdir()
    (folder / "OCR" / "0.json").write_text(json.dumps({"question": "?", "options": ["a", "b"]}))
    return folder, 1


def vstar_hub(folder: Path, n: int, rng: random.Random) -> Written:
    rows, names = [], [f"direct_attributes/sa_{i}.jpg" for i in range(n)]
    for i, name in enumerate(names):
        options = "\n".join(f"({letter}) {colour}" for letter, colour in zip("ABCD", COLOURS, strict=True))
        asked = "Answer with the option's letter from the given choices directly."
        text = f"What is the colour of glove {i}?\n{options}\n{asked}"
        known = {"category": "direct_attributes", "label": rng.choice("ABCD"), "question_id": i}
        rows.append({"image": name, "text": text, **known})
    write_images(folder, names)
    (folder / "test_questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "test_questions.jsonl", 0


def hrbench_rows(n: int, rng: random.Random) -> list[dict[str, Any]]:
    """Four rotations, `index` 200 apart as published."""
    rows = []
    for question in range(n // 4):
        right = rng.randrange(4)
        for cycle in range(4):
            order = [(k + cycle) % 4 for k in range(4)]
            rows.append(
                {
                    "index": str(question + 200 * cycle),
                    "question": f"What is written on sign {question}?",
                    "answer": "ABCD"[order.index(right)],
                    "category": ("single", "cross")[question % 2],
                    **{letter: COLOURS[k] for letter, k in zip("ABCD", order, strict=True)},
                    "cycle_category": str(cycle),
                    "image": base64_picture(question),
                }
            )
    return rows


def hrbench_tsv(folder: Path, n: int, rng: random.Random) -> Written:
    return write_tsv(folder / "hr_bench_4k.tsv", hrbench_rows(n, rng)), 0


def hrbench_parquet(folder: Path, n: int, rng: random.Random) -> Written:
    rows = [{**row, "index": int(row["index"])} for row in hrbench_rows(n, rng)]
    folder.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), folder / "hr_bench_8k.parquet")  # images are base64 here
    return folder / "hr_bench_8k.parquet", 0


def hallusionbench_json(folder: Path, n: int, rng: random.Random) -> Written:
    rows = []
    for i in range(n + 2):
        visual = "0" if i < 2 else "1"
        name = f"./VS/chart/{i // 4}_1.png"
        rows.append(
            {
                "category": "VS",
                "subcategory": "chart",
                "visual_input": visual,
                "set_id": str(i // 4),
                "figure_id": "0" if visual == "0" else "1",
                "sample_note": "import",
                "question_id": str(i % 4),
                "question": f"Is {i} the largest?",
                "gt_answer_details": "It is.",
                "gt_answer": rng.choice("01"),
                "filename": None if visual == "0" else name,
            }
        )
    write_images(folder / "hallusion_bench", [row["filename"] for row in rows if row["filename"]])
    (folder / "HallusionBench.json").write_text(json.dumps(rows))
    return folder / "HallusionBench.json", 2


def hallusionbench_hub(folder: Path, n: int, rng: random.Random) -> Written:
    path, left_out = hallusionbench_json(folder / "original", n, rng)
    rows = [row | {"image": cell(i)} for i, row in enumerate(json.loads(path.read_text()))]
    for split, part in (("non_image", rows[:left_out]), ("image", rows[left_out:])):
        write_parquet(folder / "hub" / "data" / f"{split}-00000-of-00001.parquet", part)
    return folder / "hub", left_out


def hallusionbench_clone(folder: Path, n: int, rng: random.Random) -> Written:
    """The repository's own folder: files of results and older questions lie beside it."""
    _, left_out = hallusionbench_json(folder, n, rng)
    for name in ("HallusionBench_v00.json", "HallusionBench_result_sample.json"):
        (folder / name).write_text("[]")
    return folder, left_out


def hallusionbench_tsv(folder: Path, n: int, rng: random.Random) -> Written:
    rows = lmu_yes_no(n, rng, ["VD"])
    for i, row in enumerate(rows):
        row |= {"index": f"VD_illusion_1_{i // 4}_{i % 2}_{i // 2 % 2}", "l2-category": "illusion"}
        row["image"] = base64_picture(i)
        del row["image_path"]
    return write_tsv(folder / "HallusionBench.tsv", rows), 0


def pope_json(folder: Path, n: int, rng: random.Random) -> Written:
    """Three files that share two thirds of their questions."""
    names = [f"COCO_val2014_{i:012d}.jpg" for i in range(max(1, n // 6))]
    write_images(folder / "val2014", names)
    base = [
        {"image": rng.choice(names), "text": f"Is there a thing {i} in the image?", "label": rng.choice(["yes", "no"])}
        for i in range(n)
    ]
    shared = [n // 3 * 2, n // 6, n - n // 3 * 2 - n // 6]
    for split, (start, size) in {
        "random": (0, shared[0]),
        "popular": (n // 6, shared[0]),
        "adversarial": (n // 3, n - n // 3),
    }.items():
        lines = [json.dumps({"question_id": k + 1, **row}) for k, row in enumerate(base[start : start + size])]
        (folder / f"coco_pope_{split}.json").write_text("\n".join(lines) + "\n")
    return folder, 0


def pope_clone(folder: Path, n: int, rng: random.Random) -> Written:
    """The set on GQA, as lists, in the original's output/seem/gqa; the images in GQA's own folder above it."""
    names = [f"{2300000 + i}.jpg" for i in range(max(1, n // 6))]
    write_images(folder / "gqa" / "images", names)
    (folder / "output" / "seem" / "gqa").mkdir(parents=True)
    for k, split in enumerate(("random", "popular", "adversarial")):
        rows = [
            {"question_id": i, "image": rng.choice(names), "text": f"Is there a thing {i} in the image?"}
            | {"label": rng.choice(["yes", "no"])}
            for i in range(k, n, 3)
        ]
        (folder / "output" / "seem" / "gqa" / f"gqa_pope_seem_{split}.json").write_text(json.dumps(rows))
    return folder, 0


def pope_hub(folder: Path, n: int, rng: random.Random) -> Written:
    rows = [
        {
            "id": str(i),
            "question_id": str(i),
            "question": f"Is there a thing {i} in the image?",
            "answer": rng.choice(["yes", "no"]),
            "image_source": f"COCO_{i // 6}",
            "image": cell(i // 6),
            "category": ("adversarial", "popular", "random")[i % 3],
        }
        for i in range(n)
    ]
    return write_parquet(folder / "test-00000-of-00001.parquet", rows), 0


def pope_full(folder: Path, n: int, rng: random.Random) -> Written:
    """A file for each split, which numbers its rows from 0."""
    for split, name in enumerate(("adversarial", "popular", "random")):
        rows = [
            {
                "id": str(i),
                "question_id": str(i + 1),
                "question": f"Is there a thing {3 * i + split} in the image?",
                "answer": rng.choice(["yes", "no"]),
                "image_source": f"COCO_{i}",
                "image": cell(i),
                "category": name,
            }
            for i in range(len(range(split, n, 3)))
        ]
        write_parquet(folder / "Full" / f"{name}-00000-of-00001.parquet", rows)
    return folder / "Full", 0


def mmmu_hub(folder: Path, n: int, rng: random.Random) -> Written:
    for first, subject in enumerate(("Accounting", "Art_Theory")):
        for split, size in (("dev", 3), ("validation", n // 2)):
            rows = []
            for i in range(size):
                is_open, images = i % 16 == 0, 1 + i % 3
                text = "Look at " + " and ".join(f"<image {k + 1}>" for k in range(images)) + f": which is {i}?"
                rows.append(
                    {
                        "id": f"{split}_{subject}_{i}",
                        "question": text,
                        "options": "[]" if is_open else str(["$6", "it's <image 1>", 'a "b"', "None"]),
                        "explanation": "",
                        **{f"image_{k}": cell(8 * i + k + 5000 * first) if k <= images else None for k in range(1, 8)},
                        "img_type": "['Tables']",
                        "answer": rng.choice(["24", "['5', 'five']"]) if is_open else rng.choice("ABCD"),
                        "topic_difficulty": "Easy",
                        "question_type": "open" if is_open else "multiple-choice",
                        "subfield": "Managerial",
                    }
                )
            columns = [f"image_{k}" for k in range(1, 8)]
            write_parquet(folder / subject / f"{split}-00000-of-00001.parquet", rows, images=columns)
    return folder, 6


def mmmu_tsv(folder: Path, n: int, rng: random.Random) -> Written:
    rows = lmu(n + 2, rng, categories=["Accounting", "Art"])
    for i, row in enumerate(rows):
        split = "validation" if i < n else "dev"
        images = [base64_picture(i), base64_picture(i + 9)]
        row |= {"id": f"{split}_{row['category']}_{i}", "split": split, "image": str(images)}
        row["question"] += " <image 2>"
    return write_tsv(folder / "MMMU_DEV_VAL.tsv", rows), 2


def mmstar_hub(folder: Path, n: int, rng: random.Random) -> Written:
    rows = [
        {
            "index": i,
            "question": f"Which is {i}?\nOptions: A: The giraffe, B: A, C and a dog, C: the 3: 4 one, D: None of it",
            "image": picture(i),
            "answer": rng.choice("ABCD"),
            "category": ("math", "logical reasoning")[i % 2],
            "l2_category": "geometry",
            "meta_info": {"source": "x", "split": "val", "image_path": "i.jpg"},
        }
        for i in range(n)
    ]
    folder.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), folder / "mmstar.parquet")  # bytes without a struct
    return folder / "mmstar.parquet", 0


def realworldqa_hub(folder: Path, n: int, rng: random.Random) -> Written:
    rows = []
    for i in range(n):
        kind = i % 8
        asked = "Please answer directly with only the letter of the correct option and nothing else."
        if kind == 0:
            text, answer = f"How many cars, row {i}?\nPlease answer directly with a single word or number.", str(i % 7)
        elif kind == 1:
            text = f"Is it safe, row {i}?\nPlease answer directly with a single word or number."
            answer = rng.choice(["Yes", "No"])
        else:
            text, answer = f"Where is it, row {i}?\nA. Left. Or not\nB. Right\nC. Ahead\n{asked}", rng.choice("ABC")
        rows.append({"image": cell(i), "question": text, "answer": answer})
    return write_parquet(folder / "data" / "test-00000-of-00002.parquet", rows), 0


def shards_of(make: Callable[[Path, int, random.Random], Written]) -> Callable[[Path, int, random.Random], Written]:
    """The layout's one parquet file in two, without ids as in the whole."""

    def written(folder: Path, n: int, rng: random.Random) -> Written:
        path, left_out = make(folder, n, rng)
        table = pyarrow.parquet.read_table(path)
        path.unlink()
        for number, (start, length) in enumerate(((0, n // 3), (n // 3, n))):
            pyarrow.parquet.write_table(table.slice(start, length), path.parent / f"test-0000{number}-of-00002.parquet")
        return path.parent, left_out

    return written


def blink_hub(folder: Path, n: int, rng: random.Random) -> Written:
    for first, task in enumerate(("Art_Style", "Multi-view_Reasoning")):
        for split, size in (("test", 2), ("val", n // 2)):
            rows = [
                {
                    "idx": f"{split}_{task}_{i + 1}",
                    "question": f"Which image is alike, {i}?",
                    "sub_task": task,
                    "image_1": cell(3 * i + 5000 * first),
                    "image_2": cell(3 * i + 1),
                    "image_3": cell(3 * i + 2) if i % 2 else None,
                    "image_4": None,
                    "choices": ["the second image", "the third image"],
                    "answer": rng.choice(["(A)", "(B)"]) if split == "val" else "hidden",
                    "prompt": "...",
                    "explanation": None,
                }
                for i in range(size)
            ]
            columns = [f"image_{k}" for k in range(1, 5)]
            write_parquet(folder / task / f"{split}-00000-of-00001.parquet", rows, images=columns)
    return folder, 4


def ai2d_hub(folder: Path, n: int, rng: random.Random) -> Written:
    rows = [
        {
            "question": f"How many stages, {i}?",
            "options": ["3", "2", "1", "0"],  # numbers: the answer is still an index
            "answer": str(rng.randrange(4)),
            "image": cell(i),
        }
        for i in range(n)
    ]
    return write_parquet(folder / "test-00000-of-00001.parquet", rows), 0


def mmvp_folder(folder: Path, n: int, rng: random.Random) -> Written:
    folder.mkdir(exist_ok=True)
    with (folder / "Questions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Index", "Question", "Options", "Correct Answer"])
        for i in range(n):
            options, answer = "(a) Open (b) Closed, or not", rng.choice(["(a)", "(b)"])
            table.writerow([i + 1, f"Is the door open, {i // 2}?", options, answer])
    write_images(folder / "MMVP Images", [f"{i + 1}.jpg" for i in range(n)])
    return folder, 0


def mmvp_hub(folder: Path, n: int, rng: random.Random) -> Written:
    rows = [
        {
            "image": cell(i),
            "Index": i + 1,
            "Question": f"Is the door open, {i // 2}?",
            "Options": "(a) Open (b) Closed, or not",
            "Correct Answer": rng.choice(["(a)", "(b)"]),
        }
        for i in range(n)
    ]
    return write_parquet(folder / "data" / "test-00000-of-00001.parquet", rows), 0


def mmvp_tsv(folder: Path, n: int, rng: random.Random) -> Written:
    rows = lmu(n, rng, options=2)
    for i, row in enumerate(rows):
        row |= {"question": f"Is the door open, {i // 2}?", "image": base64_picture(i)}
    return write_tsv(folder / "MMVP.tsv", rows), 0


def amber_folder(folder: Path, n: int, rng: random.Random) -> Written:
    kinds = ("discriminative-attribute-state", "discriminative-hallucination", "discriminative-relation")
    queries = [{"id": 1, "image": "AMBER_0.jpg", "query": "Describe this image."}]
    annotations: list[dict[str, Any]] = [{"id": 1, "type": "generative", "truth": ["sky"], "hallu": ["cloud"]}]
    for i in range(n):
        queries.append({"id": 1005 + i, "image": f"AMBER_{i // 4}.jpg", "query": f"Is thing {i} there?"})
        annotations.append({"id": 1005 + i, "type": kinds[i % 3], "truth": rng.choice(["yes", "no"])})
    (folder / "data" / "query").mkdir(parents=True)
    (folder / "data" / "query" / "query_all.json").write_text(json.dumps(queries))
    (folder / "data" / "annotations.json").write_text(json.dumps(annotations))
    write_images(folder / "image", [f"AMBER_{i}.jpg" for i in range(n // 4 + 1)])
    return folder, 1


def vsr_jsonl(folder: Path, n: int, rng: random.Random) -> Written:
    rows = [
        {
            "image": f"{i:012d}.jpg",
            "image_link": "http://images.cocodataset.org/train2017/x.jpg",
            "caption": f"The dog is on board {i}.",
            "label": rng.randrange(2),
            "relation": ("on", "under")[i % 2],
        }
        for i in range(n)
    ]
    write_images(folder / "images", [str(row["image"]) for row in rows])
    (folder / "zeroshot_test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "zeroshot_test.jsonl", 0


def vsr_clone(folder: Path, n: int, rng: random.Random) -> Written:
    """The repository's own tree, with the images in data/images: another kind of split, other splits of this one."""
    splits = folder / "data" / "splits"
    path, _ = vsr_jsonl(splits / "zeroshot", n, rng)
    path.rename(path.with_name("test.jsonl"))
    (splits / "zeroshot" / "images").rename(folder / "data" / "images")
    (splits / "random").mkdir()
    for name, size in (("zeroshot/train", 3), ("zeroshot/dev", 2), ("random/test", 4), ("random/train", 4)):
        (splits / f"{name}.jsonl").write_text('{"image": "x.jpg", "caption": "x", "label": 1}\n' * size)
    return folder, 5


def vsr_hub(folder: Path, n: int, rng: random.Random) -> Written:
    path, _ = vsr_jsonl(folder, n, rng)
    path.rename(folder / "test.jsonl")
    (folder / "dev.jsonl").write_text('{"image": "x.jpg", "caption": "x", "label": 1}\n')
    return folder, 1


def treebench_tsv(folder: Path, n: int, rng: random.Random) -> Written:
    """All options as lines of one cell; where a text is asked for, they stand in the question."""
    rows = lmu(n, rng, categories=["Perception/OCR", "Reasoning/Ordering"])
    for i, row in enumerate(rows):
        lines = "\n".join(f"{letter}. {row.pop(letter)}" for letter in "ABCD")
        row |= {"multi-choice options": lines if i % 2 else "", "target_instances": "[[1, 2, 3, 4]]"}
        row["question"] += "" if i % 2 else f"\n{lines}"
    return write_tsv(folder / "TreeBench.tsv", rows), 0


def mme_lines(folder: Path, n: int, rng: random.Random) -> Written:
    path, _ = mme_tsv(folder, n, rng)
    path.write_text(path.read_text().replace(str(FIVE), '"' + "\n".join(FIVE) + '"'))
    return path, 0


FIVE = [f"({letter}) The {colour} one." for letter, colour in zip("ABCDE", (*COLOURS, "last"), strict=True)]


def mme_tsv(folder: Path, n: int, rng: random.Random) -> Written:
    rows = lmu(n, rng, options=5, categories=["Perception/Monitoring", "Reasoning/OCR with Complex Context"])
    for row in rows:
        for letter in "ABCDE":
            del row[letter]
        row |= {"multi-choice options": str(FIVE), "l2-category": "person/color"}
    return write_tsv(folder / "mme_realworld_lite.tsv", rows), 0


def mme_json(folder: Path, n: int, rng: random.Random) -> Written:
    rows = [
        {
            "Question_id": f"Perception/Monitoring/{i}",
            "Image": f"monitoring/{i}.png",
            "Text": f"Which one, {i}?",
            "Question Type": "Single Choice",
            "Answer choices": FIVE,
            "Ground truth": rng.choice("ABCDE"),
            "Category": "person/color",
            "Subtask": "Monitoring",
            "Task": "Perception",
        }
        for i in range(n)
    ]
    write_images(folder, [row["Image"] for row in rows])
    (folder / "MME_RealWorld_Lite.json").write_text(json.dumps(rows))
    return folder / "MME_RealWorld_Lite.json", 0


def tsv_of(name: str, **how: Any) -> Callable[[Path, int, random.Random], Written]:
    return lambda folder, n, rng: (write_tsv(folder / f"{name}.tsv", lmu(n, rng, **how)), 0)


def yes_no_tsv(name: str, *categories: str) -> Callable[[Path, int, random.Random], Written]:
    return lambda folder, n, rng: (write_tsv(folder / f"{name}.tsv", lmu_yes_no(n, rng, categories)), 0)


LAYOUTS: dict[tuple[str, str], Callable[[Path, int, random.Random], Written]] = {
    ("VStar", "folder"): vstar_folder,
    ("VStar", "jsonl"): vstar_hub,
    ("VStar", "tsv"): tsv_of("VStarBench", categories=["direct_attributes", "relative_position"]),
    ("HRBench-4K", "tsv"): hrbench_tsv,
    ("HRBench-8K", "parquet"): hrbench_parquet,
    ("HallusionBench", "json"): hallusionbench_json,
    ("HallusionBench", "clone"): hallusionbench_clone,
    ("HallusionBench", "parquet"): hallusionbench_hub,
    ("HallusionBench", "tsv"): hallusionbench_tsv,
    ("POPE", "json"): pope_json,
    ("POPE", "clone"): pope_clone,
    ("POPE", "tsv"): yes_no_tsv("POPE", "random,popular,adversarial", "random", "popular"),
    ("POPE", "parquet"): pope_hub,
    ("POPE", "full"): pope_full,
    ("MMMU", "parquet"): mmmu_hub,
    ("MMMU", "tsv"): mmmu_tsv,
    ("MMStar", "parquet"): mmstar_hub,
    ("MMStar", "tsv"): tsv_of("MMStar"),
    ("RealWorldQA", "parquet"): realworldqa_hub,
    ("RealWorldQA", "shards"): shards_of(realworldqa_hub),
    ("RealWorldQA", "tsv"): tsv_of("RealWorldQA", options=3),
    ("BLINK", "parquet"): blink_hub,
    ("BLINK", "tsv"): tsv_of("BLINK", categories=["Counting", "Jigsaw"]),
    ("AI2D", "parquet"): ai2d_hub,
    ("AI2D", "shards"): shards_of(ai2d_hub),
    ("AI2D", "tsv"): tsv_of("AI2D_TEST"),
    ("MMVP", "csv"): mmvp_folder,
    ("MMVP", "tsv"): mmvp_tsv,
    ("MMVP", "parquet"): mmvp_hub,
    ("MMVP", "shards"): shards_of(mmvp_hub),
    ("AMBER", "json"): amber_folder,
    ("AMBER", "tsv"): yes_no_tsv("AMBER", "discriminative-attribute-state", "discriminative-hallucination", "relation"),
    ("VSR", "jsonl"): vsr_jsonl,
    ("VSR", "clone"): vsr_clone,
    ("VSR", "hub"): vsr_hub,
    ("VSR", "tsv"): yes_no_tsv("VSR", "on", "under"),
    ("MME-RealWorld-Lite", "tsv"): mme_tsv,
    ("MME-RealWorld-Lite", "lines"): mme_lines,
    ("MME-RealWorld-Lite", "json"): mme_json,
    ("TreeBench", "tsv"): tsv_of("TreeBench", categories=["Perception/Attributes", "Reasoning/Ordering"]),
    ("TreeBench", "lines"): treebench_tsv,
    ("custom:mine", "tsv"): tsv_of("mine", options=6),
}
