"""The memory of a stream of video that a causal transformer makes part by part.

Legend: B batch, R rows of actions, A lanes of a row, C channels, H, W height and width of the latents.
"""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from vision.transformer.layer_cache import KeyValue, LayerCache

_Prompt = TypeVar("_Prompt")


class KVCache:
    """Keys and values of the frames so far, of every attention that looks back.

    A chunk is denoised by any number of passes; each sees the frames kept so far and leaves nothing. One
    more pass over the finished chunk, at time 0, and :meth:`commit` add it to the memory::

        cache = KVCache()
        for chunk in chunks:
            for time in times:
                velocity = model(noisy, time, prompt, actions=rows, cache=cache).sample
                ...
            model(clean, zero, prompt, actions=rows, cache=cache)
            cache.commit()

    The branches of a guided velocity are samples of one batch (``action_dropped`` tells them apart), so that
    one cache serves all. With a window the memory stops growing once the window is full. Keys and values of
    the prompt are made once, as long as the very same tensor is passed as the prompt and gradients are
    disabled. A cache belongs to one model with fixed weights.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everything: the next pass is over the first frames of a new video."""
        self._start = 0
        self._shape: tuple[int, ...] | None = None
        self._past: list[dict[str, KeyValue]] = []
        self._rows: dict[str, tuple[Tensor, int]] = {}
        self._staged_rows: dict[str, tuple[Tensor, int]] = {}
        self._frame: Tensor | None = None
        self._staged_frame: Tensor | None = None
        self._layers: list[LayerCache] = []
        self._constant: list[dict[str, list[KeyValue]]] = []
        self._prompt: tuple[tuple[Tensor | None, ...], Any] | None = None

    def fork(self) -> "KVCache":
        """A second cache with the frames kept so far; what either keeps from now on is its own."""
        # A commit replaces what was kept, and never changes it. Keys of the prompt are both caches'.
        return copy.copy(self)

    @property
    def start(self) -> int:
        """Number of latent frames kept so far: that of the first frame of the next pass."""
        return self._start

    @property
    def num_rows(self) -> int:
        """Rows of actions kept so far, what ``rows_needed`` calls those before."""
        return max((count for _, count in self._rows.values()), default=0)

    @property
    def num_bytes(self) -> int:
        """Memory of the frames and rows kept so far, without the prompt's."""
        kept = [tensor for past in self._past for pair in past.values() for tensor in pair]
        kept += [] if self._frame is None else [self._frame]
        kept += [rows for rows, _ in self._rows.values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in kept)

    def begin(
        self, layers: int, batch: int, grid: tuple[int, int, int], window: int | None
    ) -> list[LayerCache]:
        """Starts a pass; what an earlier pass left without a commit is dropped.

        Args:
            layers: blocks of the model.
            batch: B.
            grid: token counts of this pass in time, rows and columns.
            window: frames that a query sees; None for all.

        Returns:
            What each block reads and leaves.

        Raises:
            ValueError: another model, batch or picture size than in the passes before.
        """
        shape = (layers, batch, *grid[1:])
        if self._start and shape != self._shape:
            raise ValueError(
                f"the cache holds (blocks, batch, rows, columns) = {self._shape}, this pass has {shape}; "
                "use one cache for one stream, or reset it"
            )
        if shape != self._shape:
            self._shape, self._past = shape, [{} for _ in range(layers)]
            self._constant, self._prompt = [{} for _ in range(layers)], None
        self._staged_rows, self._staged_frame = {}, None
        self._layers = [
            LayerCache(past, constant, grid[0], window)
            for past, constant in zip(self._past, self._constant, strict=True)
        ]
        return self._layers

    def embed_prompt(self, sources: tuple[Tensor | None, ...], embed: Callable[[], _Prompt]) -> _Prompt:
        """The embedded prompt, remembered while the very same tensors are its sources."""
        if torch.is_grad_enabled():
            return embed()
        if self._prompt is None or any(a is not b for a, b in zip(self._prompt[0], sources, strict=True)):
            self._prompt = (sources, embed())
            for constant in self._constant:
                constant.clear()
        return self._prompt[1]

    def rows(self, name: str) -> tuple[Tensor, int] | None:
        """The last rows of a stream of actions (B, R, A), and how many there were in all."""
        return self._rows.get(name)

    def stage_rows(self, name: str, rows: Tensor, count: int) -> None:
        """Leaves the last rows (B, R, A) of a stream, of ``count`` in all, for the commit."""
        self._staged_rows[name] = (rows.detach(), count)

    @property
    def last_frame(self) -> Tensor | None:
        """The last latent frame kept so far (B, C, 1, H, W), for a model that asks for it."""
        return self._frame

    def stage_frame(self, frame: Tensor) -> None:
        """Leaves the last latent frame of a pass (B, C, 1, H, W) for the commit."""
        self._staged_frame = frame.detach().clone()

    def commit(self) -> None:
        """Keeps the frames of the last pass.

        Raises:
            ValueError: there was no pass since the last commit, or it had other conditions than those before.
        """
        if not self._layers:
            raise ValueError("there is nothing to commit; run the model with this cache first")
        past = []
        for layer in self._layers:
            if self._start and layer.staged.keys() != layer.past.keys():
                raise ValueError(
                    f"this pass left keys of {sorted(layer.staged)}, those before of {sorted(layer.past)}; "
                    "a stream is given the same conditions in every pass"
                )
            # The next pass has at least one frame of its own.
            most = None if layer.window is None else layer.window - 1
            past.append({name: layer.join(name, *pair, most) for name, pair in layer.staged.items()})
        if self._start and self._staged_rows.keys() != self._rows.keys():
            raise ValueError(
                f"this pass was given rows of {sorted(self._staged_rows)}, those before of "
                f"{sorted(self._rows)}; a stream is given the same actions in every pass"
            )
        self._start += self._layers[0].frames
        self._past, self._rows, self._frame = past, self._staged_rows, self._staged_frame
        self._layers, self._staged_rows, self._staged_frame = [], {}, None
