"""Latents on disk: each is computed once."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vision.latents.autoencoder import encode
from vision.latents.identity import hash_json, network_identity
from vision.latents.tensor_file import DamagedFileError, read_tensors, write_tensors

#: Raised whenever what is done to pixels before or in the autoencoder changes: older files are left alone.
CODE_VERSION = 1


def autoencoder_identity(vae: Any) -> str:
    """Hash of an autoencoder's class, configuration and weights; "pixels" for None."""
    return "pixels" if vae is None else network_identity(vae)


def to_unit_range(pixels: Tensor) -> Tensor:
    """uint8 pixels as float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


class LatentCache:
    """One safetensors file a picture or video, named by a hash of all that its latents depend on.

    That is the content of its file, the autoencoder (its content, not its name), the size, the frame rate and
    the version of this code. Several processes may share a folder. In pixel space the prepared pixels
    are kept, in uint8: reading one is cheaper than decoding and resizing the original.

    Args:
        folder: made when the first file is written.
        vae: as for :func:`vision.latents.encode`.
    """

    def __init__(self, folder: Path | str, vae: Any) -> None:
        self.folder = Path(folder)
        self.vae = vae
        self.identity = autoencoder_identity(vae)

    def path(
        self, content_hash: str, channels: int, height: int, width: int, frame_rate: float | None = None
    ) -> Path:
        """File of the latents of one picture (``frame_rate`` None) or video at a size in pixels."""
        parts = [content_hash, self.identity, channels, height, width, frame_rate, CODE_VERSION]
        key = hash_json(parts)
        return self.folder / key[:2] / f"{key}.safetensors"

    def encoded(self, path: Path, prepare: Callable[[], Tensor]) -> Tensor:
        """What the cache holds under ``path``, computed and put there where it is not.

        A file that is damaged is computed anew with a warning.

        Args:
            path: from :meth:`path`.
            prepare: gives the pixels, uint8 of shape (C, F, H, W); called only where they are needed.

        Returns:
            The latents, float32 on the CPU, shape (c, f, h, w); in pixel space the uint8 pixels.
        """
        try:
            return read_latents(path)
        except FileNotFoundError:
            pass
        except DamagedFileError as error:
            warnings.warn(f"{error}. Computing these latents anew", stacklevel=2)
        latents = prepare()
        if self.vae is not None:
            with torch.no_grad():
                latents = encode(self.vae, to_unit_range(latents)[None])[0].cpu()
        write_tensors(path, {"latents": latents}, {"key": path.stem})
        return latents


def read_latents(path: Path) -> Tensor:
    """The tensor of one file of a :class:`LatentCache`.

    Raises:
        DamagedFileError: the file is damaged or another one's.
        FileNotFoundError: there is none.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("key") != path.stem:
        raise DamagedFileError(f"{path} holds other latents than its name says; delete it")
    return tensors["latents"]
