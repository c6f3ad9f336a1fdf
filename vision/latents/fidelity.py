"""What an autoencoder keeps of clips that it was not trained on, written beside its weights."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from typing_extensions import Self

from vision.weights import read_json

FILE = "fidelity.json"


@dataclass(frozen=True)
class Fidelity:
    """Measured on held-out clips.

    Attributes:
        data: name of the clips' folder.
        clips: how many.
        psnr: mean over the clips, in dB; each is encoded and decoded as a whole.
        lowest_psnr: of a clip.
    """

    data: str
    clips: int
    psnr: float
    lowest_psnr: float

    def save(self, folder: Path) -> None:
        """Writes ``fidelity.json`` into an autoencoder's folder."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what :meth:`save` wrote; ValueError where it is absent or something else."""
        found = read_json(folder / FILE)
        try:
            return cls(**found)
        except TypeError as error:
            raise ValueError(f"{folder / FILE} was not written by train.autoencoder ({error})") from None
