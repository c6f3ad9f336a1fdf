"""A guider: a further video and timed texts, worked on once a clip, for the context blocks.

Legend: B batch, C channels, F frames, H height, W width of the latents, L tokens, D width of the model.
"""

from functools import partial
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from vision.transformer.block import TransformerBlock
from vision.transformer.conditioning import Conditioning, Slot, register_conditioning
from vision.transformer.context import BlockContext, ContextHints
from vision.transformer.embedding import PatchEmbedding
from vision.transformer.guider_block import GuiderBlock
from vision.transformer.initialization import copy_weights, reset_layers, reset_patches, zero
from vision.transformer.timed_text import TIMED_TEXT, TIMED_TEXT_INPUTS

#: Name under which the guider is registered.
GUIDER = "guider"
_LATENTS = "guide_latents"


@register_conditioning(GUIDER)
class Guider(Conditioning):
    """Adds what it makes of a video and of timed texts to the context stream, level by level.

    iTryOn's Interaction Guider (arXiv 2605.21431, the architecture's figure): with ``G`` the output of its
    blocks (:class:`~vision.transformer.guider_block.GuiderBlock`), ``c_i += Z_i(G)`` after context block i.
    No time enters, so that ``G`` is made once a clip
    (:class:`~vision.transformer.guide_cache.GuideCache`). Fresh, all ``Z_i`` are zero.

    Conditions: ``guide_latents`` (B, C, F', H, W); where they have fewer frames than the latents, they are
    the last ones and tokens of zero stand before them. Those of
    :class:`~vision.transformer.timed_text.TimedTextAttention`. Without ``guide_latents`` nothing is added.

    Args:
        config: of the model, which has context blocks.
        num_layers: its blocks.
        in_channels: C; None for those of the latents.
        shared_projection: one ``Z`` for all levels.
        direct: beside this, adds a projection of ``G`` to the token stream after each block that gets a hint.
        spans: whether the timed texts have ``text_spans``.

    Raises:
        ValueError: a model without context blocks, no block.
    """

    slot: ClassVar[Slot] = "context_hints"
    inputs: ClassVar[tuple[str, ...]] = (_LATENTS, *TIMED_TEXT_INPUTS)

    def __init__(
        self,
        config: Any,
        num_layers: int = 1,
        in_channels: int | None = None,
        shared_projection: bool = False,
        direct: bool = False,
        spans: bool = False,
    ) -> None:
        super().__init__()
        layers = config.get("vace_layers")
        if not layers:
            raise ValueError(
                "a guider needs context blocks, which this model lacks; "
                "add_conditioning('vace', vace_layers=..., vace_in_channels=...) first"
            )
        if num_layers < 1:
            raise ValueError(f"a guider of {num_layers} blocks was asked for; expected at least 1")
        width = config.num_attention_heads * config.attention_head_dim
        patch = tuple(config.patch_size)
        self.layers = sorted(layers)
        self.patch_embedding = PatchEmbedding(in_channels or config.in_channels, width, patch, stride=patch)
        self.blocks = nn.ModuleList(GuiderBlock(config, spans) for _ in range(num_layers))
        levels = 1 if shared_projection else len(layers)
        self.to_context = nn.ModuleList(nn.Linear(width, width) for _ in range(levels))
        self.to_blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(levels if direct else 0))
        self.gradient_checkpointing = False
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fresh weights: what it adds is zero."""
        reset_layers(self)
        reset_patches(self.patch_embedding)
        for block in self.blocks:
            cast(GuiderBlock, block).reset_parameters()
        zero(*self._projections())

    @torch.no_grad()
    def start_from(self, model: nn.Module) -> None:
        """Its blocks begin as the first of the model, its embedding, if as wide, as that of the latents."""
        whole = cast(Any, model)
        for block in self.blocks:
            cast(GuiderBlock, block).start_from(cast(TransformerBlock, whole.blocks[0]))
        if self.patch_embedding.weight.shape == whole.patch_embedding.weight.shape:
            copy_weights(self.patch_embedding, whole.patch_embedding)

    def forward(self, hidden_states: Tensor, context: BlockContext) -> ContextHints | None:
        """What is added to the context stream and to the token stream.

        Args:
            hidden_states: tokens before the first block; only their shape (B, L, D) is read.
            context: of the pass.

        Raises:
            ValueError: timed texts without ``guide_latents``, latents of another shape, a part of a stream.
        """
        latents = context.conditions.get(_LATENTS)
        if latents is None:
            if TIMED_TEXT in context.conditions:
                raise ValueError(f"timed_text was given to a guider without {_LATENTS}; pass both")
            return None
        if context.cache is not None:
            raise ValueError("a guider reads whole videos, not parts of a stream; leave the cache out")
        make = partial(self._guide, latents, hidden_states, context)
        guide = make() if context.guide_cache is None else context.guide_cache.once(make)
        blocks = enumerate(self.layers) if len(self.to_blocks) else ()
        return ContextHints(
            to_context=lambda level: self._projection(self.to_context, level)(guide),
            to_blocks={layer: self._projection(self.to_blocks, level)(guide) for level, layer in blocks},
        )

    def _guide(self, latents: Tensor, hidden_states: Tensor, context: BlockContext) -> Tensor:
        """G, shape (B, L, D)."""
        embedding = self.patch_embedding
        frames, *sides = (n * p for n, p in zip(context.grid, embedding.kernel_size, strict=True))
        found, channels = tuple(latents.shape), embedding.in_channels
        if (
            len(found) != 5
            or (found[0], found[1], *found[3:]) != (hidden_states.shape[0], channels, *sides)
            or not 0 < found[2] <= frames
            or found[2] % embedding.kernel_size[0]
        ):
            raise ValueError(
                f"{_LATENTS} has shape {found}; expected ({hidden_states.shape[0]}, {channels}, "
                f"at most {frames}, {sides[0]}, {sides[1]})"
            )
        tokens = (
            embedding(latents.to(hidden_states.device, embedding.weight.dtype)).flatten(2).transpose(1, 2)
        )
        missing = hidden_states.shape[1] - tokens.shape[1]
        guide = torch.cat([tokens.new_zeros(len(tokens), missing, tokens.shape[2]), tokens], dim=1)
        for block in self.blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                guide = cast(Any, self)._gradient_checkpointing_func(block, guide, context)
            else:
                guide = block(guide, context)
        return guide

    @staticmethod
    def _projection(projections: nn.ModuleList, level: int) -> nn.Module:
        return projections[min(level, len(projections) - 1)]

    def _projections(self) -> list[nn.Linear]:
        return [cast(nn.Linear, layer) for layer in (*self.to_context, *self.to_blocks)]
