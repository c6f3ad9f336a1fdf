"""How near cleared pictures are to their clear versions.

Legend: H height, W width.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from infer.dehaze_files import Source
from infer.dehaze_ledger import DehazeLedger
from infer.dehaze_measures import SIDE, similarity
from infer.model_hash import file_hash
from vision.dehaze.haze_pairs import ClearPictures, border_of
from vision.media import UnreadableImageError
from vision.media.photograph import read_photograph


@dataclass(frozen=True)
class Similarity:
    """What was compared, for the last lines on the screen.

    Attributes:
        values: PSNR and SSIM of each picture, by the names of the table's columns.
        without: a line on each picture that could not be compared.
    """

    values: Sequence[dict[str, float]]
    without: Sequence[str]

    def told(self) -> str:
        """Means before and after, and what was left out."""
        lines = []
        for name, unit in (("psnr", " dB"), ("ssim", "")):
            before, after = (self._mean(f"{name}_{when}") for when in ("before", "after"))
            lines.append(f"{name.upper()}     {before:.4g} before, {after:.4g}{unit} after")
        head = f"beside the clear versions of {len(self.values)} pictures:"
        rest = [f"not compared: {line}" for line in self.without[:5]]
        if len(self.without) > 5:
            rest.append(f"not compared: {len(self.without) - 5} more")
        return "\n".join([head, *lines, *rest])

    def _mean(self, name: str) -> float:
        found = [value[name] for value in self.values if math.isfinite(value[name])]
        return fmean(found) if found else math.nan


class ClearVersions:
    """The clear versions of some pictures.

    Args:
        folder: flat, ``ID.ext`` of ``ID_anything.ext``.
        sources: all of a job; videos have none.

    Raises:
        ValueError: no such folder, or no picture of the job has a clear version in it.
    """

    def __init__(self, folder: Path, sources: Sequence[Source]) -> None:
        pictures = ClearPictures(folder)
        self._clear: list[tuple[Source, Path]] = []
        self._without: list[str] = []
        for source in sources:
            try:
                if source.is_video:
                    raise ValueError(f"{source.path}: a video")
                self._clear.append((source, pictures.of(source.path)))
            except ValueError as error:
                self._without.append(str(error))
        if not self._clear:
            raise ValueError(
                f"--clear {folder} has no clear version of any picture ({self._without[0]}); expected "
                "ID.png for ID_anything.png"
            )

    def compare(self, ledger: DehazeLedger) -> Similarity:
        """Measures the results that the ledger names and that are not measured yet, and records it there."""
        values, without = [], list(self._without)
        for source, clear in self._clear:
            record = ledger.records.get(source.name)
            if record is None:  # it could not be read, which the job says
                continue
            key = file_hash(clear)
            if record.get("clear") != key:
                try:
                    found = _compared(source, clear)
                except (UnreadableImageError, ValueError) as error:
                    without.append(str(error))
                    continue
                facts = {name: record[name] for name in ("height", "width", "frames")}
                measures = {**record["measures"], **found}
                ledger.add(source, {**facts, "measures": measures, "clear": key})
                record = ledger.records[source.name]
            values.append(record["measures"])
        return Similarity(values, without)


def _compared(source: Source, clear: Path) -> dict[str, float]:
    reference = read_photograph(clear)
    hazy, result = read_photograph(source.path), read_photograph(source.target)
    height, width = hazy.color.shape[:2]
    sides = reference.color.shape[:2]
    border = border_of((height, width), (sides[0], sides[1]), (source.path, clear))
    cut = reference.color[border : border + height, border : border + width]
    reference = dataclasses.replace(reference, color=cut)
    return similarity(*(picture.reduced(SIDE) for picture in (reference, hazy, result)))
