"""What one block remembers of a stream of video.

Legend: B batch, L tokens, H heads, E width of a head.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

#: Keys and values, each (B, L, H, E).
KeyValue = tuple[Tensor, Tensor]


class LayerCache:
    """The keys and values that one block reads and leaves in one pass over a part of a video.

    What the pass reads is fixed when it begins, so that a block computed again in the backward pass
    (gradient checkpointing) sees the same past. Nothing is kept before
    :meth:`vision.transformer.cache.KVCache.commit`.

    Args:
        past: keys and values of earlier frames, by name.
        constant: keys and values that do not change while the prompt stays, by name.
        frames: frames of tokens of this pass.
        window: frames that a query sees, those of this pass among them; None for all.
    """

    def __init__(
        self,
        past: Mapping[str, KeyValue],
        constant: dict[str, list[KeyValue]],
        frames: int,
        window: int | None,
    ) -> None:
        self.past = past
        self.constant = constant
        self.frames = frames
        self.window = window
        self.staged: dict[str, KeyValue] = {}

    def extend(self, name: str, key: Tensor, value: Tensor) -> KeyValue:
        """Puts the keys and values of earlier frames before those of this pass.

        Args:
            name: which attention of the block.
            key: shape (B, L, H, E), the same number of keys for each frame.
            value: of the same shape.

        Returns:
            Keys and values (B, L', H, E) of all frames that the window leaves.
        """
        self.staged[name] = (key.detach(), value.detach())
        return self.join(name, key, value, self.window)

    def join(self, name: str, key: Tensor, value: Tensor, most: int | None) -> KeyValue:
        """The last ``most`` frames (None: all) of the past and the given keys and values together."""
        if name not in self.past:
            past_key, past_value = key[:, :0], value[:, :0]
        else:
            past_key, past_value = self.past[name]
        a_frame = key.shape[1] // self.frames
        length = past_key.shape[1] + key.shape[1]
        surplus = 0 if most is None else max(0, length - most * a_frame)
        old, new = min(surplus, past_key.shape[1]), max(0, surplus - past_key.shape[1])
        return (
            torch.cat([past_key[:, old:], key[:, new:]], dim=1),
            torch.cat([past_value[:, old:], value[:, new:]], dim=1),
        )

    def once(self, name: str, make: Callable[[], list[KeyValue]]) -> list[KeyValue]:
        """Keys and values that are made in the first pass and read in those that follow.

        With gradients enabled they are made each time, as each pass has a graph of its own.
        """
        if torch.is_grad_enabled():
            return make()
        if name not in self.constant:
            self.constant[name] = make()
        return self.constant[name]
