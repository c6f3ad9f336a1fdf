"""One play of a causal world, from rows of a gamepad to frames.

Legend: T frames, N rows of actions, H height, W width in pixels.
"""

import numpy as np
import torch

from vision.latents import DecodeStream
from vision.media.image import to_bytes
from vision.transformer import Actions
from vision.world.first_frame import FirstFrame
from vision.world.pipeline import WorldPipeline
from vision.world.stream import WorldStream, require_playable


class PlaySession:
    """The world that someone plays: begun with a picture, gone on with chunk by chunk, begun anew.

    A chunk of c latent frames is 4 c frames; the first one, which begins with the picture, 4 (c - 1) + 1.
    With a window (``transformer.set_causal(chunk, window)``) a chunk costs the same however long the play
    is, and the memory stays.

    Args:
        pipeline: with a causal transformer that takes actions, and an autoencoder for
            :class:`vision.latents.DecodeStream`.

    Attributes:
        frames_made: frames since the play began.

    Raises:
        ValueError: a pipeline that cannot be played.
    """

    def __init__(self, pipeline: WorldPipeline) -> None:
        self._causality = require_playable(pipeline.transformer)
        self._decode = DecodeStream(pipeline.vae)
        self._pipeline = pipeline
        self._stream: WorldStream | None = None
        self.frames_made = 0

    @property
    def is_bounded(self) -> bool:
        """Whether memory and cost of a chunk stop growing."""
        return self._causality.window is not None

    @property
    def rows_wanted(self) -> int:
        """How many rows of actions the next chunk takes: those that lead to its frames."""
        return self._begun().rows_wanted[0]

    @property
    def num_bytes(self) -> int:
        """Memory of what the play remembers."""
        return 0 if self._stream is None else self._stream.cache.num_bytes + self._decode.num_bytes

    def reset(
        self,
        image: FirstFrame,
        *,
        seed: int = 0,
        action_guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
    ) -> None:
        """Begins anew; where the arguments are bad, the play so far goes on.

        Args:
            image: the first frame, one picture of mode "RGB" or pixels (1, 3, H, W) in [-1, 1].
            seed: of the noise. The same picture, seed, settings and rows give the same world.
            action_guidance_scale, num_inference_steps: None for the model's own.

        Raises:
            ValueError: a picture of another size or mode, or several.
        """
        # On the CPU, so that the noise is the same on every device.
        stream = WorldStream(
            self._pipeline,
            image,
            num_inference_steps=num_inference_steps,
            action_guidance_scale=action_guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
        )
        if stream.batch_size != 1:
            raise ValueError(
                f"a play begins with one first frame, found {stream.batch_size}; give one of them"
            )
        self._stream, self.frames_made = stream, 0
        self._decode.restart()

    @torch.no_grad()
    def advance(self, rows: np.ndarray) -> np.ndarray:
        """Makes the frames of the next chunk.

        Args:
            rows: float32, shape (N, 10) with N = :attr:`rows_wanted`: four sticks in [-1, 1], six buttons 0
                or 1, in the order of :mod:`vision.world.gamepad`. Counted over the whole play, row t leads
                from frame t to frame t + 1.

        Returns:
            uint8, shape (T, H, W, 3).

        Raises:
            ValueError: the play has not begun; other rows; frames that are not finite.
        """
        values = torch.from_numpy(np.asarray(rows, np.float32))[None]
        latents = self._begun().advance(Actions(values[..., :4], values[..., 4:]))
        shown = torch.cat([self._decode(latent) for latent in latents.split(1, dim=2)], dim=2)
        if not torch.isfinite(shown).all():
            raise ValueError("the decoder gave pixels that are not finite; use bfloat16 or float32")
        frames = to_bytes(shown[0]).permute(1, 2, 3, 0).contiguous().numpy()
        self.frames_made += len(frames)
        return frames

    def _begun(self) -> WorldStream:
        if self._stream is None:
            raise ValueError("the play has not begun; call reset with a first frame")
        return self._stream
