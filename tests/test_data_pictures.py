"""Picture files as people have them: read, or refused by name; never a traceback, and none skipped in silence."""

from __future__ import annotations

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from aot.data.images import decoding
from aot.data.images import reading as images
from aot.data.images.decoding import BadPicture, opened, to_rgb, upright
from aot.data.images.reading import BadRow, Refusal, at_most, read_image, read_image_file, square
from aot.data.photos.photo import Photo
from aot.data.sources import open_source


def encoded(kind: str = "JPEG", exif: bytes = b"") -> bytes:
    picture = PilImage.new("RGB", (40, 20), "red")
    picture.paste("blue", (0, 0, 20, 20))
    buffer = BytesIO()
    picture.save(buffer, kind, exif=exif, quality=95)
    return buffer.getvalue()


def read(folder: Path) -> tuple[list[Photo], list[Refusal]]:
    items = list(open_source(folder, at_most(100)).items)
    return [i for i in items if isinstance(i, Photo)], [i for i in items if isinstance(i, Refusal)]


def test_odd_tags_of_others(shared_data: Path) -> None:
    photos, refused = read(shared_data / "cases/odd_exif")
    assert len(photos) == 3 and not refused
    for file in (shared_data / "cases/odd_exif").iterdir():
        upright(opened(file.read_bytes()))


def test_phone_formats_of_others(shared_data: Path) -> None:
    photos, refused = read(shared_data / "cases/phone_formats")
    names = [photo.id for photo in photos] + [refusal.row for refusal in refused]
    assert sorted(names) == ["IMG_0001.HEIC", "saved.jfif"] and "saved.jfif" in {photo.id for photo in photos}
    assert all("pillow-heif" in refusal.reason for refusal in refused)


@pytest.mark.parametrize("number", range(2, 9))
def test_all_orientations(number: int) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = number
    content = encoded(exif=exif.tobytes())
    image, size = read_image(content, at_most(40))
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(PilImage.open(BytesIO(content))))
    assert size == ((20, 40) if number >= 5 else (40, 20))
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(np.asarray(upright(opened(content))), expected)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_tags_and_pictures_raise_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    exif = PilImage.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    kinds = {"JPEG": 400, "TIFF": 300, "PNG": 200, "GIF": 200, "WEBP": 200, "BMP": 60, "ICO": 60}
    for kind, head in kinds.items():
        whole = np.frombuffer(encoded(kind, exif.tobytes()), np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            places = rng.integers(8, min(head, len(whole)), 4)
            damaged[places] = rng.integers(0, 256, 4)
            for use in (lambda b: read_image(b, square(8)), lambda b: upright(opened(b))):
                with suppress(BadRow, BadPicture):
                    use(damaged.tobytes())


@pytest.mark.parametrize(
    "error", [TypeError, KeyError, IndexError, ZeroDivisionError, MemoryError, RecursionError]
)
def test_whatever_a_decoder_raises_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(*_: object) -> None:
        raise error

    content = encoded()
    monkeypatch.setattr(decoding.PilImage, "open", fails)
    with pytest.raises(BadRow, match="cannot be read"):
        read_image(content, square(8))


def test_heic_without_its_library_says_what_to_do() -> None:
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    with pytest.raises(BadPicture, match="cannot be read"):
        opened(content)


def test_every_image_in_a_folder_is_read_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.JPG", "c.jfif", "no_ending", "Δ.png", "icon.ico"):
        kind = {".png": "PNG", ".ico": "ICO"}.get(Path(name).suffix, "JPEG")
        (folder / name).write_bytes(encoded(kind))
    (tmp_path / "outside.jpg").write_bytes(encoded())
    (tmp_path / "more").mkdir()
    (folder / "link_out.jpg").symlink_to(tmp_path / "outside.jpg")
    (folder / "link_in.jpg").symlink_to(folder / "a.jpg")
    (folder / "broken.jpg").symlink_to(folder / "gone.jpg")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    (folder / "folder_link").symlink_to(tmp_path / "more")
    (folder / "folder.jpg").mkdir()
    for name in ("raw.CR2", "damaged.ico"):
        (folder / name).write_bytes(b"nothing")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "notes.txt").write_text("nothing")
    os.mkfifo(folder / "pipe.png")
    with open(os.fsencode(folder) + b"/bad\xff.jpg", "wb") as file:
        file.write(encoded())
    photos, refused = read(folder)
    assert {p.id for p in photos} == {"a.jpg", "b.JPG", "c.jfif", "no_ending", "Δ.png", "link_in.jpg", "icon.ico"}
    words = {r.row: r.word for r in refused}
    assert {words.pop(name) for name in ("raw.CR2", "phone.heic", "damaged.ico")} == {"unreadable_image"}
    assert words.pop("link_out.jpg") == words.pop("folder_link") == "unsafe_path"
    assert set(words) == {"broken.jpg", "circle.jpg", "pipe.png", "bad\\udcff.jpg"}
    assert "\n".join(map(str, refused)).encode()


def test_image_files_by_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded())
    for name in (
        "x" * 5000,
        "x/" * 3000,
        "a\0.jpg",
        "",
        ".",
        "/etc/hostname",
        "../a.jpg",
        "a.jpg/b",
        "\udcff.jpg",
    ):
        with pytest.raises(BadRow) as error:
            read_image_file(tmp_path, name)
        assert len(str(error.value).encode()) < 1000
    monkeypatch.setattr(images, "MOST_BYTES", 100)
    with pytest.raises(BadRow, match="more than 100") as error:
        read_image_file(tmp_path, "a.jpg")
    assert error.value.word == "too_large"


def test_floats_from_0_to_1_are_no_black_picture() -> None:
    levels = np.linspace(0, 1, 256, dtype=np.float32)[None]
    read = np.asarray(to_rgb(PilImage.fromarray(levels)))
    assert read.max() == 255 and abs(read[0, :, 0].astype(int) - np.arange(256)).max() <= 1
