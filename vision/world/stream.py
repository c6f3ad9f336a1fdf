"""A world that is played: chunk after chunk, for as long as somebody holds the gamepad.

Legend: B worlds beside each other, C channels, h, w height and width of the latents.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vision.flow.sampling_step import require_finite, sampling_step
from vision.transformer import Actions, KVCache, rows_needed
from vision.transformer.causality import Causality
from vision.world.first_frame import FirstFrame
from vision.world.guided import require_actions

if TYPE_CHECKING:
    from vision.world.pipeline import WorldPipeline


class WorldStream:
    """The memory of one play of a causal world.

    Each chunk is denoised while it sees the chunks before it in a cache, then enters the cache at time 0.
    The first frame of the first chunk is the picture that the world begins with; a chunk of one frame is that
    picture alone. With a window (``transformer.set_causal(chunk, window)``) the cache stops growing.

    Args:
        pipeline: with a causal transformer. Its streams may run in threads beside each other: each has a copy
            of the scheduler, which counts steps.
        image: the first frames, as in a call.
        num_inference_steps, sigmas, action_guidance_scale, generator, prompt_embeds: as in a call.

    Attributes:
        batch_size: B.
        cache: what is remembered; ``cache.num_bytes`` says how much.

    Raises:
        ValueError: the transformer is not causal or takes no actions, or a call would raise one.
    """

    def __init__(
        self,
        pipeline: "WorldPipeline",
        image: FirstFrame,
        *,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        action_guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        prompt_embeds: Tensor | None = None,
    ) -> None:
        self._pipeline, self._chunk = pipeline, require_playable(pipeline.transformer).chunk
        self._scheduler = copy.deepcopy(pipeline.scheduler)
        self._first = pipeline.encode_first_frame(image)
        self.batch_size = len(self._first)
        self._steps, self._sigmas, self._generator = num_inference_steps, sigmas, generator
        self._world = pipeline.guided(self.batch_size, action_guidance_scale, prompt_embeds)
        self.cache = KVCache()

    @property
    def rows_used(self) -> int:
        """Rows of actions so far."""
        return self.cache.num_rows

    @property
    def rows_wanted(self) -> tuple[int, int]:
        """How many rows of actions the next whole chunk takes: the least, and one a frame of video."""
        return rows_needed(self.cache.start + self._chunk, self.rows_used)

    def fork(self) -> "WorldStream":
        """A second stream that goes on from here, with the same noise to come."""
        other = copy.copy(self)
        other._scheduler = copy.deepcopy(self._scheduler)
        other.cache = self.cache.fork()
        if isinstance(self._generator, list):
            other._generator = [generator.clone_state() for generator in self._generator]
        elif self._generator is not None:
            other._generator = self._generator.clone_state()
        return other

    @torch.no_grad()
    def advance(self, actions: Actions) -> Tensor:
        """Makes the next chunk.

        Args:
            actions: the rows that follow those so far, as many as :attr:`rows_wanted` says. Fewer rows, by
                fours, make a shorter chunk, after which nothing may follow.

        Returns:
            Clean latents of the chunk's frames, float32, shape (B, C, chunk, h, w).

        Raises:
            ValueError: another number of rows; a result that is not finite.
        """
        start, rows = self.cache.start, actions.sticks.shape[1]
        frames = next(
            (n for n in range(self._chunk, 0, -1) if rows in rows_needed(start + n, self.rows_used)), None
        )
        if frames is None:
            least, most = self.rows_wanted
            raise ValueError(f"there are {rows} rows of actions, the next chunk takes {least} or {most}")
        if start % self._chunk:
            raise ValueError("the last chunk was a short one, with which a stream ends; begin a new stream")
        given = self._first if start == 0 else self._first[:, :, :0]
        x_t = self._pipeline.prepare_noise(self._first, frames, self._generator)
        x_t = torch.cat([given, x_t[:, :, given.shape[2] :]], dim=2)
        if given.shape[2] < frames:
            x_t = self._denoised(x_t, given, actions)
        self._world.velocity(x_t, x_t.new_zeros(frames), actions, self.cache)
        self.cache.commit()
        return x_t

    def _denoised(self, x_t: Tensor, given: Tensor, actions: Actions) -> Tensor:
        known = given.shape[2]
        for timestep in self._pipeline.prepare_timesteps(self._steps, self._sigmas, x_t, self._scheduler):
            times = timestep.repeat(x_t.shape[2])
            times[:known] = 0
            velocity = self._world.velocity(x_t, times, actions, self.cache)
            x_t = sampling_step(self._scheduler, velocity, timestep, x_t, self._generator)
            x_t = torch.cat([given, x_t[:, :, known:]], dim=2)
        require_finite(x_t)
        return x_t


def require_playable(transformer: Any) -> Causality:
    """How a transformer sees its past; an error for one that is not causal, or takes no actions."""
    if transformer.causality is None:
        raise ValueError(
            "this world's frames all see each other, so it cannot be played part by part; train a causal "
            "one, or call transformer.set_causal() for one that was"
        )
    require_actions(transformer)
    return transformer.causality
