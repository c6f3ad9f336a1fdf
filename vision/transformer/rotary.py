"""Rotary position embeddings over frames, rows and columns, and along one axis.

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
        self._later: tuple[tuple[tuple[int, int, int], torch.device, int], Tensor] | None = None

    def forward(self, grid: tuple[int, int, int], device: torch.device, start: int = 0) -> Tensor:
        """Cosine and sine of each token and pair of channels, float32, shape (L, E / 2, 2).

        Args:
            grid: token counts (F, Y, X); L = F Y X, columns fastest.
            device: where the table lies.
            start: number of the first frame, for a part of a longer video; without a limit.

        Raises:
            ValueError: a side of the grid is longer than ``rope_max_seq_len``.
        """
        if start:
            # A stream asks for each of its parts a few times in a row, and never again.
            if self._later is None or self._later[0] != (grid, device, start):
                self._later = ((grid, device, start), self._make_table(grid, device, start))
            return self._later[1]
        if (grid, device) not in self._tables:
            self._tables[grid, device] = self._make_table(grid, device, 0)
        return self._tables[grid, device]

    def _make_table(self, grid: tuple[int, int, int], device: torch.device, start: int) -> Tensor:
        if max(grid) > self.max_positions:
            raise ValueError(
                f"the token grid {grid} is longer than rope_max_seq_len = {self.max_positions}; "
                "use a smaller video or a model with a longer table"
            )
        # A table made in inference mode could not be used for training later.
        with torch.inference_mode(False):
            angles = []
            for axis, (count, dim) in enumerate(zip(grid, self.axis_dims, strict=True)):
                along = _angles(count, dim, start if axis == 0 else 0)  # (count, dim / 2)
                shape = [1, 1, 1, dim // 2]
                shape[axis] = count
                angles.append(along.view(shape).expand(*grid, dim // 2))
            return _cosine_sine(torch.cat(angles, dim=-1).flatten(0, 2)).to(device)


def _angles(count: int, dim: int, start: int = 0) -> Tensor:
    """Angles of ``count`` positions from ``start`` and ``dim / 2`` pairs of channels, float64."""
    rates = 1.0 / _BASE ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return torch.outer(torch.arange(start, start + count, dtype=torch.float64), rates)


def _cosine_sine(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=-1).float()


def frame_table(frames: int, head_dim: int, device: torch.device, start: int = 0) -> Tensor:
    """Cosine and sine of frames alone, over the whole width of a head, float32, shape (F, E / 2, 2).

    Args:
        frames: how many.
        head_dim: E, even.
        device: where the table lies.
        start: number of the first frame.
    """
    return _cosine_sine(_angles(frames, head_dim, start)).to(device)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotates neighbouring channels (2j, 2j + 1) by the angles of ``table``.

    Args:
        x: shape (B, L, H, E).
        table: cosines and sines, shape (L, E / 2, 2) or (B, L, E / 2, 2), in the type to compute in.

    Returns:
        The rotated tensor, shape (B, L, H, E), in the type of ``x``.
    """
    pairs, table = (
        x.to(table.dtype).unflatten(-1, (-1, 2)),
        table.unsqueeze(-3),
    )  # (B, L, H, E / 2, 2), (..., L, 1, E / 2, 2)
    if torch.compiler.is_compiling():  # the compiler generates no code for complex numbers
        (first, second), (cos, sin) = pairs.unbind(-1), table.unbind(-1)
        rotated = torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1)
    else:
        rotated = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(table))
    return rotated.flatten(-2).to(x.dtype)


def rotate_1d(x: Tensor, positions: Tensor, theta: float = _BASE) -> Tensor:
    """Rotary positions along one axis, over the whole width of a head.

    Pair ``j``, the channels 2j and 2j + 1, turns by ``p theta^(-2j / E)`` at position ``p`` (RoFormer, arXiv
    2104.09864, equation 15), alike in every head. The product of a query and a key then depends only on
    the difference of their positions. Angles are float64; the rotation is float32, float64 for float64.

    Args:
        x: shape (B, L, H, E), E even.
        positions: any real numbers, shape (B, L), or (L,) for all samples.
        theta: base of the angular rates.

    Returns:
        Shape and type of ``x``. At position 0 the values are those of ``x``.

    Raises:
        ValueError: another shape, an odd width.
    """
    if x.ndim != 4 or x.shape[-1] % 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (batch, tokens, heads, even width)")
    if tuple(positions.shape) not in ((x.shape[1],), tuple(x.shape[:2])):
        raise ValueError(
            f"positions have shape {tuple(positions.shape)}; x of shape {tuple(x.shape)} takes "
            f"({x.shape[1]},) or {tuple(x.shape[:2])}"
        )
    # Apple's GPUs have no float64.
    place = torch.device("cpu") if x.device.type == "mps" else x.device
    exponents = torch.arange(0, x.shape[-1], 2, dtype=torch.float64, device=place) / x.shape[-1]
    angle = positions.to(place, torch.float64).unsqueeze(-1) * theta**-exponents  # (..., L, E / 2)
    table = torch.stack([angle.cos(), angle.sin()], dim=-1)
    # Pairs become complex numbers, which must lie side by side.
    return rotate(x.contiguous(), (table if x.dtype == torch.float64 else table.float()).to(x.device))
