"""A photograph with all that its file says: depth, transparency, colour profile, camera data.

Legend: C channels (1 or 3), H height, W width, h rows of a band.
"""

import dataclasses
import warnings
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import ExifTags, Image, JpegImagePlugin
from torch import Tensor

from vision.media.deep_image import encode_deep
from vision.media.image import DAMAGE, UnreadableImageError
from vision.whole_file import written_aside

#: Formats that a photograph is written in again, by Pillow's names.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")
# Camera data among the tags of a TIFF; the others tell how its pixels lie.
_TIFF_TAGS = frozenset((270, 271, 272, 305, 306, 315, 33432, 34665, 34853))
_CAMERA_TAGS = frozenset((271, 272, 34665, 34853))
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Photograph:
    """Pixels, upright, and what else is written with them.

    Attributes:
        color: shape (H, W, C), uint8 or uint16.
        alpha: opacity, shape (H, W), of the same type; None where there is none.
        format: one of :data:`FORMATS`.
        save_options: Pillow's for the file: camera data, colour profile, quality.
    """

    color: np.ndarray
    alpha: np.ndarray | None
    format: str
    save_options: dict[str, Any] = field(default_factory=dict)

    def rows(self, top: int, bottom: int) -> Tensor:
        """Rows as pixels in [0, 1], shape (1, 3, h, W), float32; grey is repeated."""
        part = torch.from_numpy(self.color[top:bottom].astype(np.float32)).permute(2, 0, 1)[None]
        return (part / self._white).expand(-1, 3, -1, -1)

    def reduced(self, side: int) -> Tensor:
        """The whole of it like :meth:`rows`, pixels averaged until no side is longer than this."""
        height, width = self.color.shape[:2]
        scale = side / max(height, width)
        if scale >= 1:
            return self.rows(0, height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(self.color, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
        return dataclasses.replace(self, color=small).rows(0, size[1])

    def blank(self) -> "Photograph":
        """One of the same kind whose colours are yet to be written."""
        return dataclasses.replace(self, color=np.zeros_like(self.color))

    def write_rows(self, top: int, pixels: Tensor) -> None:
        """Sets the rows from ``top`` by pixels (1, 3, h, W) in [0, 1]; a grey one takes their luminance."""
        found = pixels[0].cpu().float().numpy()
        if self.color.shape[2] == 1:
            found = np.tensordot(np.array(_LUMA, np.float32), found, 1)[None]
        rounded = np.rint(found * self._white).clip(0, self._white).transpose(1, 2, 0)
        self.color[top : top + rounded.shape[0]] = rounded.astype(self.color.dtype)

    def save(self, path: str | Path) -> None:
        """Writes the file, whole or not at all, in its format."""
        channels = [self.color] if self.alpha is None else [self.color, self.alpha[..., None]]
        pixels = channels[0] if len(channels) == 1 else np.concatenate(channels, 2)
        with written_aside(Path(path)) as aside:
            if self._white == 255 or pixels.shape[2] == 1:
                image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
                image.save(aside, self.format, **self.save_options)
            else:
                aside.write_bytes(encode_deep(pixels, self.format, self.save_options))

    @property
    def _white(self) -> int:
        return 65535 if self.color.dtype == np.uint16 else 255


def read_photograph(path: str | Path) -> Photograph:
    """Reads a picture such that it can be written again as it was.

    The camera's rotation is applied, and no longer asked for by the camera data. A palette becomes colours,
    CMYK becomes RGB without its profile, with a warning.

    Raises:
        UnreadableImageError: no picture, a damaged one, one of several pages, or of a format that is not
            written here.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # 90 megapixels and more
            with Image.open(BytesIO(content)) as image:
                return _photograph(image, content, path)
    except UnreadableImageError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"{path}: {error} Cut it into parts") from error
    except (*DAMAGE, cv2.error) as error:
        raise UnreadableImageError(f"{path}: not a whole picture ({error})") from error


def _photograph(image: Image.Image, content: bytes, path: Path) -> Photograph:
    # Cameras put previews behind a JPEG's picture and call the file MPO.
    kind = "JPEG" if image.format == "MPO" else image.format
    if kind not in FORMATS:
        raise UnreadableImageError(
            f"{path} is a {image.format}, which is not written here; convert it to {', '.join(FORMATS)}"
        )
    pages: int = getattr(image, "n_frames", 1)
    if pages > 1 and image.format == "MPO":
        warnings.warn(f"{path}: of its {pages} pictures (MPO) the first is kept", stacklevel=3)
    elif pages > 1:
        raise UnreadableImageError(f"{path} has {pages} pages; save them one by one")
    image.load()
    exif = image.getexif()
    orientation = exif.pop(ExifTags.Base.Orientation, 1)
    deep = _is_deep(image, content)
    options = _save_options(image, exif, content, path)
    if deep and image.format == "TIFF" and _CAMERA_TAGS & exif.keys():
        warnings.warn(f"{path}: camera data is not kept in a TIFF of 16-bit colours", stacklevel=3)
    if deep:
        flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        if decoded is None:
            raise UnreadableImageError(f"{path}: not a whole picture of 16 bits a channel")
        pixels: np.ndarray = decoded
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    else:
        pixels = np.asarray(_plain(image, path))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    pixels = np.ascontiguousarray(_upright(pixels, orientation))
    color, alpha = pixels, None
    if pixels.shape[2] in (2, 4):
        color, alpha = np.ascontiguousarray(pixels[..., :-1]), pixels[..., -1]
    return Photograph(color, alpha, kind, options)


def _plain(image: Image.Image, path: Path) -> Image.Image:
    """With 1 to 4 channels of 8 bits, or one of 16."""
    if image.mode in ("L", "RGB") and image.has_transparency_data:
        return image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("L", "LA", "RGB", "RGBA", "I;16"):
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImageError(f"{path} has more than 16 bits a channel; save it with 8 or 16")
        return Image.fromarray(values.astype(np.uint16))
    if image.mode == "F":
        raise UnreadableImageError(f"{path} holds floats, which have no fixed white; save it with 16 bits")
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _is_deep(image: Image.Image, content: bytes) -> bool:
    """Whether it has several channels of 16 bits, of which Pillow would keep eight."""
    if image.format == "PNG":
        return content[24] == 16 and content[25] in (2, 4, 6)  # of the header: bits, kind of colours
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, ())  # pyright: ignore[reportAttributeAccessIssue]
        return isinstance(bits, tuple) and len(bits) > 1 and max(bits) == 16
    return False


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 7):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 4):
        pixels = pixels[:, ::-1] if orientation == 2 else pixels[::-1]
    return np.rot90(pixels, {3: 2, 6: -1, 7: 2, 8: 1}.get(orientation, 0))


def _save_options(image: Image.Image, exif: Image.Exif, content: bytes, path: Path) -> dict[str, Any]:
    if image.format == "TIFF":
        for tag in [tag for tag in exif if tag not in _TIFF_TAGS]:
            del exif[tag]
    options: dict[str, Any] = {name: image.info[name] for name in ("dpi",) if name in image.info}
    if len(exif) and image.format != "BMP":
        options["exif"] = exif.tobytes()
    profile = image.info.get("icc_profile")
    if profile and image.mode == "CMYK":
        warnings.warn(f"{path}: CMYK becomes RGB, without its colour profile", stacklevel=4)
    elif profile and image.format != "BMP":
        options["icc_profile"] = profile
    if image.format in ("JPEG", "MPO"):
        options["progressive"] = bool(image.info.get("progressive"))
        if image.mode in ("RGB", "L"):  # as strongly compressed as it was
            options["qtables"] = image.quantization  # pyright: ignore[reportAttributeAccessIssue]
            if image.mode == "RGB":
                options["subsampling"] = JpegImagePlugin.get_sampling(image)
        else:
            options["quality"] = 95
    elif image.format == "WEBP":
        lossless = b"VP8L" in content[:65536]  # the kind of the chunk that holds the pixels
        options |= {"lossless": True, "exact": True} if lossless else {"quality": 95}
    elif image.format == "TIFF" and str(image.info.get("compression")) in ("tiff_lzw", "tiff_adobe_deflate"):
        options["compression"] = image.info["compression"]
    return options
