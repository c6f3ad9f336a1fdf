"""Rotary position embeddings over frames, rows and columns.

Legend: B batch, L tokens, H heads, E width of a head, F frames, Y rows, X columns of the token grid.
"""

import torch
from torch import Tensor, nn

_BASE = 10000.0


class RotaryEmbedding(nn.Module):
    """Cosines and sines of the angles of the tokens of a video grid.

    The pairs of a head are shared out over time, rows and columns: ``2 (E // 6)`` channels each for
    rows and columns, the rest for time (Wan 2.1, section 4.2; RoFormer, arXiv 2104.09864, equation 15).
    Tables are made once a grid and device, in float64, and kept in float32. They are no buffers: a cast
    of the model must not round them.
    """

    def __init__(self, head_dim: int, max_positions: int) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"attention_head_dim is {head_dim}; rotary positions need an even one")
        side = 2 * (head_dim // 6)
        self.axis_dims = (head_dim - 2 * side, side, side)
        self.max_positions = max_positions
        self._tables: dict[tuple[tuple[int, int, int], torch.device], Tensor] = {}

    def forward(self, grid: tuple[int, int, int], device: torch.device) -> Tensor:
        """Cosine and sine of each token and pair of channels, float32, shape (L, E / 2, 2).

        Args:
            grid: token counts (F, Y, X); L = F Y X, columns fastest.
            device: where the table lies.

        Raises:
            ValueError: a side of the grid is longer than ``rope_max_seq_len``.
        """
        if (grid, device) not in self._tables:
            if max(grid) > self.max_positions:
                raise ValueError(
                    f"the token grid {grid} is longer than rope_max_seq_len = {self.max_positions}; "
                    "use a smaller video or a model with a longer table"
                )
            # A table made in inference mode could not be used for training later.
            with torch.inference_mode(False):
                self._tables[grid, device] = self._make_table(grid).to(device)
        return self._tables[grid, device]

    def _make_table(self, grid: tuple[int, int, int]) -> Tensor:
        angles = []
        for axis, (count, dim) in enumerate(zip(grid, self.axis_dims, strict=True)):
            rates = 1.0 / _BASE ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
            along = torch.outer(torch.arange(count, dtype=torch.float64), rates)  # (count, dim / 2)
            shape = [1, 1, 1, dim // 2]
            shape[axis] = count
            angles.append(along.view(shape).expand(*grid, dim // 2))
        angle = torch.cat(angles, dim=-1).flatten(0, 2)  # (L, E / 2)
        return torch.stack([angle.cos(), angle.sin()], dim=-1).float()


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotates neighbouring channels (2j, 2j + 1) by the angles of ``table``.

    Args:
        x: shape (B, L, H, E).
        table: cosines and sines, float32, shape (L, E / 2, 2).

    Returns:
        The rotated tensor, shape (B, L, H, E), in the type of ``x``.
    """
    pairs, table = (
        x.float().unflatten(-1, (-1, 2)),
        table.unsqueeze(1),
    )  # (B, L, H, E / 2, 2), (L, 1, E / 2, 2)
    if torch.compiler.is_compiling():  # the compiler generates no code for complex numbers
        (first, second), (cos, sin) = pairs.unbind(-1), table.unbind(-1)
        rotated = torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1)
    else:
        rotated = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(table))
    return rotated.flatten(-2).to(x.dtype)
