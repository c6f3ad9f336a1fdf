"""Which frames see which when a video is made part by part.

Legend: L tokens, F frames of tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from vision.transformer.attention import Mask


@dataclass(frozen=True)
class Causality:
    """Block-causal attention: a frame sees its own chunk and those before it (CausVid, arXiv 2412.07772).

    Chunk ``c`` holds the frames ``c chunk ... (c + 1) chunk - 1``; the last may be shorter.

    Attributes:
        chunk: latent frames that are made together and see each other, at least 1.
        window: how many frames a chunk sees, up to its last and with its own among them, at least
            ``chunk``; None for all.
    """

    chunk: int = 3
    window: int | None = None

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise ValueError(f"causal chunk is {self.chunk}; expected at least 1 latent frame")
        if self.window is not None and self.window < self.chunk:
            raise ValueError(
                f"causal window is {self.window} latent frames, shorter than a chunk of {self.chunk}; "
                "widen it, or leave it out to see the whole past"
            )

    def sees(self, query_frame: Tensor, key_frame: Tensor, frames: int) -> Tensor:
        """True where the frame of a query sees that of a key, of a video of ``frames`` frames."""
        end = ((query_frame // self.chunk + 1) * self.chunk).clamp(max=frames)
        seen = key_frame < end
        return seen if self.window is None else seen & (key_frame >= end - self.window)

    def frame_mask(self, frames: int, device: torch.device, with_past: bool = False) -> Tensor:
        """:meth:`sees` of all frames, boolean (F, F), queries first.

        Args:
            frames: F.
            device: of the mask.
            with_past: the mask (2 F, 2 F) of a clean video followed by a noisy one, where a noisy frame sees
                the clean frames of the chunks before its own, and of the noisy ones its own chunk.
        """
        number = torch.arange(frames, device=device)
        seen = self.sees(number.unsqueeze(1), number, frames)
        if not with_past:
            return seen
        own = number.unsqueeze(1) // self.chunk == number // self.chunk
        return torch.cat([torch.cat([seen, torch.zeros_like(seen)], 1), torch.cat([seen & ~own, own], 1)])

    def token_mask(
        self, grid: tuple[int, int, int], device: torch.device, backend: str | None, with_past: bool = False
    ) -> Mask:
        """The mask of the tokens (L, L) of a grid, in the form that the backend takes.

        Args:
            grid: token counts in time, rows and columns.
            device: of the tokens.
            backend: name of an attention backend; None takes flex's mask on a GPU, a boolean one elsewhere.
            with_past: see :meth:`frame_mask`; then (2 L, 2 L).
        """
        tokens, mask = grid[1] * grid[2], self.frame_mask(grid[0], device, with_past)
        if backend == "flex" or (backend is None and device.type == "cuda"):
            return create_block_mask(
                lambda b, h, q, k: mask[q // tokens, k // tokens],
                None,
                None,
                len(mask) * tokens,
                len(mask) * tokens,
                device=str(device),  # type: ignore[reportArgumentType]
            )
        return mask.repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)
