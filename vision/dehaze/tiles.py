"""A picture in overlapping tiles, whose results are blended into one without seams.

Legend: B batch, C channels, H height, W width of the picture, h rows of a band.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

#: Rows ``top`` to ``bottom`` of the picture, shape (B, C, bottom - top, W).
Rows = Callable[[int, int], Tensor]
#: Maps a tile and the row and column of its first pixel to its result, same shape.
TileFunction = Callable[[Tensor, int, int], Tensor]


@dataclass(frozen=True)
class Tiles:
    """How a picture is cut.

    Each tile overlaps the next by ``overlap`` pixels (the last one by more). In the middle half of that, one
    result fades into the other; the quarter at the edge of a tile is thrown away. So the blended result
    equals the untiled one for a network that looks at most ``overlap / 4`` pixels far.

    Attributes:
        size: side of a tile; a picture of no more is one tile.
        overlap: pixels that neighbours share, a multiple of 4.
        multiple: what divides the position of each tile, so that a network's grids lie alike.
    """

    size: int = 512
    overlap: int = 64
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.overlap < 4 or self.overlap % 4 or self.size < 2 * self.overlap:
            raise ValueError(
                f"tiles of {self.size} pixels that share {self.overlap}: expected an overlap that 4 divides, "
                "from 4 to half of the tile; change tile or overlap"
            )
        if self.step < self.overlap:
            raise ValueError(
                f"tiles of {self.size} that share {self.overlap} pixels advance by {self.step}, a multiple "
                f"of the network's step {self.multiple}; that is less than they share: use larger tiles"
            )

    @property
    def step(self) -> int:
        """Pixels from one tile to the next, but for the last."""
        return (self.size - self.overlap) // self.multiple * self.multiple

    def spans(self, length: int) -> list[tuple[int, int]]:
        """Where each tile begins and ends along a side of so many pixels."""
        if length <= self.size:
            return [(0, length)]
        last = -((self.size - length) // self.multiple) * self.multiple  # rounded up
        starts = [*range(0, last, self.step), last]
        return [(start, min(start + self.size, length)) for start in starts]

    def weights(self, length: int) -> list[Tensor]:
        """How much each tile counts at each of its pixels along a side; the sum over tiles is 1."""
        spans = self.spans(length)
        weights = [torch.ones(stop - start) for start, stop in spans]
        for before, after in zip(range(len(spans)), range(1, len(spans)), strict=False):
            seam = (spans[after][0] + spans[before][1]) / 2
            ramp = self.overlap / 2
            for number in (before, after):
                start, stop = spans[number]
                rise = ((torch.arange(start, stop) + 0.5 - seam) / ramp + 0.5).clamp(0, 1)
                weights[number] *= rise if number == after else 1 - rise
        return weights


def blend(function: TileFunction, rows: Rows, height: int, width: int, tiles: Tiles) -> Iterator[Tensor]:
    """Applies a function tile by tile and gives the result in bands of rows, from the top.

    Of the picture it holds one row of tiles at a time.

    Args:
        function: what is done to a tile.
        rows: where the picture comes from.
        height: H.
        width: W.
        tiles: how it is cut.

    Yields:
        bands (B, C, h, W), float32; their rows are those of the picture in order.
    """
    columns, column_weights = tiles.spans(width), tiles.weights(width)
    bands = list(zip(tiles.spans(height), tiles.weights(height), strict=True))
    open_rows: Tensor | None = None  # sums of rows that the next band adds to
    for number, ((top, bottom), row_weight) in enumerate(bands):
        source = rows(top, bottom)
        total = None
        for (left, right), column_weight in zip(columns, column_weights, strict=True):
            found = function(source[..., left:right], top, left).float()
            if total is None:
                total = found.new_zeros(*found.shape[:-1], width)
            weight = row_weight[:, None] * column_weight
            total[..., left:right] += found * weight.to(found.device)
        assert total is not None
        if open_rows is not None:
            total[..., : open_rows.shape[-2], :] += open_rows
        kept = bands[number + 1][0][0] - top if number + 1 < len(bands) else bottom - top
        yield total[..., :kept, :]
        open_rows = total[..., kept:, :].clone()
