"""The few-step grid that travels with a distilled model of any family, in a file of its own."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from vision.flow.sampling_grid import checked_grid

#: Beside ``model_index.json`` or ``pytorch_lora_weights.safetensors``. A key in diffusers' own files would
#: make its pipelines warn.
FILE = "few_step.json"


@dataclass(frozen=True)
class FewStep:
    """How a distilled model is sampled.

    Attributes:
        sigmas: noise levels before the scheduler's shift, falling from 1; one network evaluation each.
        guidance_scale: 1 calls the network once a step.
    """

    sigmas: list[float]
    guidance_scale: float = 1.0

    def save(self, folder: Path | str) -> None:
        """Writes ``few_step.json``."""
        (Path(folder) / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> "FewStep | None":
        """What a folder carries; None without the file.

        Raises:
            ValueError: a file that is not what :meth:`save` writes.
        """
        path = Path(folder) / FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(checked_grid(found["sigmas"]), float(found["guidance_scale"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not the grid of a few-step model ({error}); expected "
                '{"sigmas": [1, 0.75, 0.5, 0.25], "guidance_scale": 1}'
            ) from error
