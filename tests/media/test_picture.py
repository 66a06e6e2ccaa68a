"""Pictures: every kind becomes pixels of 8 bits, and what was done to them for that is said."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ar_lightning.core.errors import UserError
from ar_lightning.media.picture import open_image
from tests.support.files import one_line


def saved(path: Path, mode: str, **options: object) -> Path:
    """A picture of two colours: red on the left and blue on the right, 6x4."""
    image = Image.new("RGB", (6, 4), (204, 0, 0))
    image.paste((0, 0, 102), (3, 0, 6, 4))
    image.convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "RGB"), ("a.png", "RGBA"), ("a.png", "P"), ("a.gif", "P"), ("a.bmp", "RGB"), ("a.jpg", "CMYK")],
)
def test_every_kind_of_image_becomes_colour_or_grey(tmp_path: Path, name: str, mode: str) -> None:
    path = saved(tmp_path / name, mode)
    colour, grey = open_image(path, 3).pixels.astype(int), open_image(path, 1).pixels.astype(int)
    assert colour.shape == (3, 4, 6) and grey.shape == (1, 4, 6)
    atol = 12 if name.endswith("jpg") else 0
    np.testing.assert_allclose(colour[:, 0, [0, 5]].T, [[204, 0, 0], [0, 0, 102]], atol=atol)
    np.testing.assert_allclose(grey[0, 0, [0, 5]], [61, 12], atol=max(atol, 1))  # luma


def test_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8  # a quarter turn is to be undone
    x = open_image(saved(tmp_path / "a.png", "RGB", exif=exif), 3).pixels
    assert x.shape == (3, 6, 4) and x[:, 0, 0].tolist() == [0, 0, 102] and x[:, 5, 0].tolist() == [204, 0, 0]


def test_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (open_image(tmp_path / "a.gif", 1).pixels == 10).all()


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "deep", "flipped"])
def test_what_cannot_be_read_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    if kind == "deep":
        Image.fromarray(np.full((4, 4), 3000, np.int32)).save(path, format="TIFF")
    else:
        flipped = whole[:900] + bytes([whole[900] ^ 255]) + whole[901:]
        path.write_bytes({"text": b"hello", "empty": b"", "truncated": whole[:-900], "flipped": flipped}[kind])
    with pytest.raises(UserError) as info:
        open_image(path, 3)
    assert str(path) in one_line(info) and ("more than 16 bits" in str(info.value)) == (kind == "deep")


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = (struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def sixteen(path: Path, x: np.ndarray, **options: object) -> Path:
    Image.fromarray(x.astype(np.uint16)).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_of_16_bits_the_upper_8_are_read_and_it_is_said(tmp_path: Path, name: str) -> None:
    x = np.random.default_rng(0).integers(0, 65536, (5, 6))
    picture = open_image(sixteen(tmp_path / name, x), 1)
    assert picture.pixels[0].tolist() == (x >> 8).tolist() and picture.size == (5, 6)
    assert [remark[:10] for remark in picture.remarks] == ["of 16 bits"]
    assert (open_image(tmp_path / name, 3).pixels == picture.pixels).all()


def test_16_bits_of_colour_are_said(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + bytes([200, 1, 100, 2, 50, 3]) * 4 for _ in range(4))  # filter, then big-endian RGB
    header = struct.pack(">2I5B", 4, 4, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png_of((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")))
    picture = open_image(tmp_path / "a.png", 3)
    assert picture.pixels[:, 0, 0].tolist() == [200, 100, 50] and picture.remarks[0].startswith("of 16 bits")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_the_background(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (80, 80, 80, 255))
    image.putpixel((1, 0), (80, 80, 80, 0))
    image.convert(mode).save(tmp_path / "a.png")
    for background, shown in (("white", 255), ("black", 0)):
        picture = open_image(tmp_path / "a.png", 1, background=background)  # type: ignore[arg-type]
        assert picture.pixels.tolist() == [[[80, shown]]] and picture.remarks == (
            f"transparent (laid on {background})",
        )
    Image.new("RGBA", (2, 1), (1, 2, 3, 255)).save(tmp_path / "b.png")
    assert open_image(tmp_path / "b.png", 3).remarks == ()


def test_a_picture_named_as_another_kind_is_read(tmp_path: Path) -> None:
    Image.new("L", (2, 2), 9).save(tmp_path / "a.jfif", format="PNG")
    assert (open_image(tmp_path / "a.jfif", 1).pixels == 9).all()


def test_pictures_that_would_not_fit_in_memory_are_refused_by_their_size(tmp_path: Path) -> None:
    header = struct.pack(">2I5B", 100_000, 100_000, 8, 2, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(png_of((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000)))))
    with pytest.raises(UserError, match=r"bomb\.png: an image of more than 178,956,970 pixels; make a smaller"):
        open_image(tmp_path / "bomb.png", 3)
