"""A causal world as a velocity network whose samples are the chunks of clips.

Legend: B clips, N chunks of a clip, c latent frames of a chunk, C channels, F = N c or 1 + N c latent frames
of a clip, h, w height and width of the latents, T rows of actions, M prompt tokens.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vision.flow.denoiser import Condition, Denoiser
from vision.flow.path import velocity_from_x0
from vision.lora.shared_base import base_of
from vision.transformer import KVCache, VideoTransformer
from vision.world.guided import require_actions

#: Name of the clean latents (B, C, F, h, w) in a condition: frame 0 is given, of the others each chunk sees
#: those before it.
PAST = "past"


class ChunkDenoiser(Denoiser):
    """Each chunk is a sample with its own time and noise; all chunks of a clip share one pass.

    Samples are chunks, clip by clip: ``x_t`` (B N, C, c, h, w) and ``t`` (B N,). The first frame of a clip is
    given. With c = 1 it is a chunk by itself and no sample. With c > 1 it is the first frame of the first
    sample, where it is held: what stands there in ``x_t`` is not read, and its velocity
    ``(x_t - x_0) / t`` leads to it, so that it is in no loss.

    A condition is of clips: ``past`` (B, C, F, h, w), ``sticks`` (B, T, 4), ``buttons`` (B, T, 6) with
    T = 4 (F - 1) + 1, ``action_dropped`` (B,), ``encoder_hidden_states`` (B, M, text_dim). A chunk sees the
    clean chunks before it as a stream does: at time 0, as far as the window goes.

    Args:
        network: a causal :class:`vision.transformer.VideoTransformer` that takes actions, or a view of one.

    Attributes:
        chunk: c.

    Raises:
        ValueError: another network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        base: Any = base_of(network)
        if not isinstance(base, VideoTransformer) or base.causality is None:
            raise ValueError(
                "this world's frames all see each other, so it has no chunks to distil; train a causal one "
                "(section causal of train.world)"
            )
        require_actions(base)
        self.chunk = base.causality.chunk

    def chunks(self, frames: int) -> int:
        """N, the samples of a clip of so many latent frames.

        Raises:
            ValueError: a clip that is no whole number of chunks, or has no frame to make.
        """
        if frames < 2 or frames % self.chunk:
            raise ValueError(
                f"clips have {frames} latent frames, this world makes {self.chunk} at a time; choose "
                f"data.frames so that (data.frames - 1) / 4 + 1 is a multiple of {self.chunk}, at least 2"
            )
        return frames // self.chunk - (self.chunk == 1)

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocity of the chunks; see :class:`Denoiser` and above."""
        first = condition[PAST][:, :, :1]
        video = x_t.unflatten(0, (len(first), -1)).transpose(1, 2).flatten(2, 3)  # (B, C, N c, h, w)
        if self.chunk == 1:
            video = torch.cat([first.to(video), video], dim=2)
        said = self.ask_given(video, self._by_frame(t, len(first)), first, condition)
        said = said[:, :, self.chunk == 1 :]
        return said.unflatten(2, (-1, self.chunk)).transpose(1, 2).flatten(0, 1)

    def as_times(self, values: Tensor, condition: Condition) -> Tensor:
        """As the passes have them, (B, 2 F): 0 for the clean frames, then those of the chunks."""
        frames = self._by_frame(values, len(condition[PAST]))
        return torch.cat([torch.zeros_like(frames), frames], dim=1)

    def ask_given(
        self,
        video: Tensor,
        times: Tensor,
        first: Tensor,
        condition: Condition,
        cache: KVCache | None = None,
    ) -> Tensor:
        """:meth:`ask` where frame 0 of the video is held at ``first``; its velocity leads there."""
        held = torch.cat([first.to(video), video[:, :, 1:]], dim=2)
        known = torch.cat([torch.zeros_like(times[:, :1]), times[:, 1:]], dim=1)
        said = self.ask(held, known, condition, cache)
        leading = velocity_from_x0(video[:, :, :1], first.to(video), times[:, 0])
        return torch.cat([leading, said[:, :, 1:]], dim=2)

    def ask(self, video: Tensor, times: Tensor, condition: Condition, cache: KVCache | None = None) -> Tensor:
        """One call of the network.

        Args:
            video: latents (B, C, F', h, w).
            times: of each frame, in [0, 1], (B, F').
            condition: of these frames.
            cache: of a stream, in place of a past.

        Returns:
            Velocity, float32, shape of ``video``.
        """
        return self.network(
            hidden_states=video, timestep=1000 * times.float(), cache=cache, return_dict=False, **condition
        )[0].float()

    def time_embedder(self) -> nn.Module:
        """The layers between the sinusoids and the embedding of the time, output (B, G, D)."""
        network: Any = base_of(self.network)
        return network.condition_embedder.time_embedder

    def _by_frame(self, values: Tensor, clips: int) -> Tensor:
        """One for each latent frame, (B, F); with c = 1 the given frame has that of the first sample."""
        each = values.unflatten(0, (clips, -1)).repeat_interleave(self.chunk, 1)
        return torch.cat([each[:, :1], each], dim=1) if self.chunk == 1 else each
