"""IDX files, the format of MNIST and Fashion-MNIST, gzipped or not.

The format: two zero bytes, a byte for the element type, a byte for the number of axes, the size of each
axis as a big-endian uint32, then the elements in row-major order, big-endian.

Legend: N pictures, C channels, H height, W width.
"""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path | str) -> np.ndarray:
    """The array of an IDX file.

    Args:
        path: the file; whether it is gzipped is read from its first bytes, not from its name.

    Returns:
        An array of the axes that the file declares, in the machine's byte order.

    Raises:
        ValueError: the file cannot be read, is not IDX, or has fewer or more bytes than it declares.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; check the path of the data") from error
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{path}: the gzip data is damaged or cut short ({error}); fetch it again"
            ) from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise ValueError(
            f"{path} is not an IDX file: it begins with {content[:4].hex(' ') or 'nothing'}, expected 00 00, "
            "an element type (08 for bytes) and the number of axes"
        )
    dtype, axes = np.dtype(_DTYPES[content[2]]), content[3]
    header = 4 + 4 * axes
    if len(content) < header:
        raise ValueError(f"{path} is cut short: {len(content)} bytes do not hold the sizes of {axes} axes")
    shape = tuple(int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes))
    expected = header + dtype.itemsize * math.prod(shape)
    if len(content) != expected:
        what = "is cut short" if len(content) < expected else "has bytes left over"
        raise ValueError(
            f"{path} {what}: sizes {shape} need {expected} bytes, found {len(content)}; fetch it again"
        )
    return np.frombuffer(content, dtype, offset=header).reshape(shape).astype(dtype.newbyteorder("="))


def write_idx(path: Path | str, array: np.ndarray) -> None:
    """Writes ``array`` as an IDX file, gzipped where the name ends in ``.gz``."""
    path = Path(path)
    codes = {np.dtype(text).newbyteorder("="): code for code, text in _DTYPES.items()}
    code = codes.get(array.dtype)
    if code is None:
        raise ValueError(f"IDX holds {sorted(map(str, codes))}, not {array.dtype}; convert the array first")
    header = bytes([0, 0, code, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = header + array.astype(_DTYPES[code]).tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


@dataclass(frozen=True)
class IdxPictures:
    """Labelled pictures of a pair of IDX files.

    Attributes:
        pixels: uint8, shape (N, C, H, W), C being 1 or 3.
        labels: int64, shape (N,).
    """

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def read_idx_pictures(images: Path | str, labels: Path | str, num_classes: int) -> IdxPictures:
    """Reads pictures and their labels.

    Args:
        images: IDX file of bytes, of shape (N, H, W) or (N, H, W, 3).
        labels: IDX file of integers, of shape (N,), from 0 to ``num_classes - 1``.
        num_classes: how many classes have a name.

    Raises:
        ValueError: the files do not belong together, or hold something else than pictures and labels.
    """
    pixels, numbers = read_idx(images), read_idx(labels)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] != 3):
        raise ValueError(
            f"{images} holds {pixels.dtype} of shape {pixels.shape}; expected bytes of shape (N, H, W) or "
            "(N, H, W, 3), so pass the file of the pictures"
        )
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(
            f"{labels} holds {numbers.dtype} of shape {numbers.shape}; expected integers of shape (N,), so "
            "pass the file of the labels"
        )
    if len(pixels) != len(numbers):
        raise ValueError(
            f"{images} holds {len(pixels)} pictures but {labels} holds {len(numbers)} labels; "
            "pass the two files of the same split"
        )
    if len(numbers) == 0:
        raise ValueError(f"{images} holds no pictures; pass a file that has some")
    if numbers.min() < 0 or numbers.max() >= num_classes:
        raise ValueError(
            f"{labels} has labels from {numbers.min()} to {numbers.max()}, but {num_classes} class names are "
            "given; name every class"
        )
    planes = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return IdxPictures(np.ascontiguousarray(planes), numbers.astype(np.int64))  # (N, C, H, W), (N,)
