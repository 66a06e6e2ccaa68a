"""Read pictures: their pixels, upright, on 8 bits and without transparency; PyTorch is not imported."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SUFFIXES", "Background", "Picture", "fitted", "open_image"]

# Of the formats that Pillow reads, those that people keep pictures in, rather than icons or drawings of layers.
SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp", ".dib",
    ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".sgi", ".qoi",
)  # fmt: skip
ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")

Background = Literal["white", "black"]


class Picture(NamedTuple):
    """A picture, and what was done to it that changes what is seen."""

    pixels: np.ndarray  # `(C, H, W)` uint8
    size: tuple[int, int]  # (height, width) of the file, upright
    remarks: tuple[str, ...]  # each goes with a number of pictures: "3 transparent (laid on white)"


def open_image(
    path: Path, channels: int, size: tuple[int, int] | None = None, background: Background = "white"
) -> Picture:
    """Read a picture, in colour or, of 1 channel, grey; its central part is resized if a size (H, W) is given.

    Of several frames the first is taken; of 16 bits, the upper 8; what is transparent shows the background.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            deep = any(";16" in str(tile[3]) for tile in image.tile) or image.mode.startswith("I;16")
            deep |= image.mode == "I" and image.format == "PPM"
            if image.mode in ("I", "F") and not deep:
                raise UserError(f"an image of more than 16 bits (mode {image.mode})", path, "save it with 8 or 16")
            several = getattr(image, "is_animated", False)
            upright = ImageOps.exif_transpose(image)
            if upright.mode[0] == "I":
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            opaque, transparent = _opaque(upright, background)
            whole = opaque.convert("L" if channels == 1 else "RGB")
    except UserError:
        raise
    except Image.DecompressionBombError:
        most = f"{2 * (Image.MAX_IMAGE_PIXELS or 0):,}"  # what Pillow takes
        raise UserError(f"an image of more than {most} pixels", path, "make a smaller one of it") from None
    except Exception as error:  # whatever a decoder makes of bytes that can be anything
        said = first_line(error)
        reason = type(error).__name__ if "cannot identify" in said else said
        fix = "replace it or move it away"
        raise UserError(f"not an image, or a damaged one ({reason})", path, fix) from error
    pixels = np.asarray(whole if size is None else fitted(whole, *size))
    remarks = {
        "of 16 bits (the upper 8 are read)": deep,
        f"transparent (laid on {background})": transparent,
        "of several frames (the first is read)": several,
    }
    kept = pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    return Picture(kept, (whole.height, whole.width), tuple(name for name, applies in remarks.items() if applies))


def fitted(image: "Image", height: int, width: int) -> "Image":
    """Resize the largest central part of the right proportions; an image of the right size stays as it is."""
    from PIL.Image import Resampling

    full_width, full_height = image.size
    part_width = max(1, min(full_width, full_height * width // height))
    part_height = max(1, min(full_height, full_width * height // width))
    left, top = (full_width - part_width) // 2, (full_height - part_height) // 2
    box = (left, top, left + part_width, top + part_height)
    return image.resize((width, height), Resampling.BOX if part_height >= height else Resampling.BICUBIC, box=box)


def _opaque(image: "Image", background: Background) -> tuple["Image", bool]:
    """Return an image without transparency, and whether it had any."""
    from PIL import Image

    if image.mode not in ALPHA and "transparency" not in image.info:
        return image, False
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema()[0] == 255:
        return rgba, False
    return Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba), True
