"""The networks that are compared, and their pictures of real haze.

Legend: H height, W width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vision import DehazePipeline
from vision.dehaze.picture_files import find_pictures
from vision.lora.adapters import lora_file
from vision.media import UnreadableImageError
from vision.media.photograph import read_photograph


@dataclass(frozen=True)
class Arm:
    """One way to clear pictures.

    Attributes:
        name: for the table.
        model: folder of the pipeline.
        adapter: file or folder of its adapter, if any.
    """

    name: str
    model: Path
    adapter: Path | None = None

    def pipeline(self, merged: bool = True) -> DehazePipeline:
        """The pipeline on the CPU in float32, its adapter added to the weights or beside them."""
        pipeline = DehazePipeline.from_pretrained(self.model)
        if self.adapter is not None:
            pipeline.load_lora_weights(self.adapter, adapter_name="haze")
            if merged:
                pipeline.fuse_lora()
        return pipeline

    def facts(self) -> dict[str, Any]:
        """Parameters that differ from the base's, and the bytes of the adapter's file."""
        pipeline = self.pipeline(merged=False)
        own = pipeline.lora_network.named_parameters()
        if self.adapter is None:
            return {"parameters": sum(p.numel() for _, p in own), "bytes": None}
        parameters = sum(p.numel() for name, p in own if ".lora_A." in name or ".lora_B." in name)
        return {"parameters": parameters, "bytes": lora_file(self.adapter).stat().st_size}


def read_pictures(folder: Path, side: int, bad: list[str]) -> dict[str, Tensor]:
    """Pictures by name, each (1, 3, H, W) in [0, 1]; larger ones are reduced.

    Args:
        folder: flat.
        side: longest side.
        bad: a line is added on each picture that cannot be read.

    Raises:
        ValueError: there is no such folder, or no picture in it can be read.
    """
    found = {}
    for path in find_pictures(folder):
        try:
            found[path.name] = read_photograph(path).reduced(side)
        except UnreadableImageError as error:
            bad.append(str(error))
    if not found:
        raise ValueError(f"no picture of {folder} can be read: {bad[0]}")
    return found


def cleared(pipeline: DehazePipeline, pictures: dict[str, Tensor], name: str) -> Iterator[Tensor]:
    """What a pipeline makes of each picture, the noise of a flow the same for all arms.

    Args:
        pipeline: of an arm.
        pictures: from :func:`read_pictures`.
        name: of the arm, for the progress.
    """
    for pixels in tqdm(pictures.values(), name, unit="picture"):
        generator = torch.Generator().manual_seed(0)
        yield pipeline(pixels, generator=generator, output_type="pt").images.float().cpu()
