"""The stream of a causal world, chunk by chunk, as its velocity network sees it.

Legend: B clips, c latent frames of a chunk, C channels, h, w height and width of the latents.
"""

from torch import Tensor

from vision.flow.denoiser import Condition
from vision.transformer import KVCache, rows_needed
from vision.world.chunk_denoiser import ChunkDenoiser


class ChunkStream:
    """What a world remembers while its own chunks follow each other.

    It is :class:`vision.world.stream.WorldStream` without a sampler and an autoencoder: whoever walks from
    noise to a chunk asks for velocities, and gives the chunk back to be remembered. While a stream lasts,
    weights stay the same and gradients are disabled.

    Args:
        denoiser: of the network.
        first: given first frames (B, C, 1, h, w). With c = 1 they are remembered at once.
        condition: of the clips as for the denoiser, ``past`` left out; it has the rows of all chunks.
    """

    def __init__(self, denoiser: ChunkDenoiser, first: Tensor, condition: Condition) -> None:
        self._denoiser, self._first, self._condition = denoiser, first, condition
        self._cache = KVCache()
        if denoiser.chunk == 1:
            self.keep(first)

    def velocity(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Velocity of the next chunk, (B, C, c, h, w), at times (B,); of a given frame, what leads to it."""
        times = t.unsqueeze(1).expand(-1, x_t.shape[2])
        if self._cache.start:
            return self._denoiser.ask(x_t, times, self._next_rows(), self._cache)
        return self._denoiser.ask_given(x_t, times, self._first, self._next_rows(), self._cache)

    def keep(self, chunk: Tensor) -> None:
        """Remembers a clean chunk (B, C, c, h, w)."""
        times = chunk.new_zeros(len(chunk), chunk.shape[2])
        self._denoiser.ask(chunk, times, self._next_rows(), self._cache)
        self._cache.commit()

    def _next_rows(self) -> dict[str, Tensor]:
        """The condition with the rows of the next chunk alone."""
        used = self._cache.num_rows
        end = used + rows_needed(self._cache.start + self._denoiser.chunk, used)[1]
        rows = {name: self._condition[name][:, used:end] for name in ("sticks", "buttons")}
        return {**self._condition, **rows}
