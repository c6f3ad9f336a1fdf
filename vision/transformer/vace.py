"""VACE's context blocks: a second, shorter stack of blocks that reads what the video is made from.

Legend: B batch, C channels, F frames, H height, W width of the latents, L tokens, D width of the model.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from vision.transformer.block import TransformerBlock
from vision.transformer.cache import KVCache
from vision.transformer.conditioning import Conditioning, ConditionInput, Slot, register_conditioning
from vision.transformer.context import BlockContext
from vision.transformer.embedding import PatchEmbedding
from vision.transformer.initialization import copy_weights, reset_layers, reset_patches, zero
from vision.transformer.vace_block import VaceBlock

#: Name under which the context blocks are registered.
VACE = "vace"
#: Channels of the control latents of all releases: twice the latents' 16, and a mask of 8 x 8 pixels.
CONTROL_CHANNELS = 96
_CONTROL, _SCALE = "control_hidden_states", "control_hidden_states_scale"


class VaceEmbedding(PatchEmbedding, ConditionInput):
    """Makes ``control_tokens`` (B, L, D) of the control latents ``control_hidden_states`` (B, C, F, H, W)."""

    name: ClassVar[str] = _CONTROL
    attribute: ClassVar[str | None] = "vace_patch_embedding"

    def __init__(self, config: Any) -> None:
        patch = tuple(config.patch_size)
        super().__init__(
            config.vace_in_channels,
            config.num_attention_heads * config.attention_head_dim,
            patch,
            stride=patch,
        )
        self.patch_size = patch
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights: as the embedding of the latents."""
        reset_patches(self)

    def forward(  # type: ignore[reportIncompatibleMethodOverride]
        self,
        conditions: Mapping[str, Tensor],
        tokens: Tensor,
        grid: tuple[int, int, int],
        cache: KVCache | None,
        with_past: bool = False,
    ) -> dict[str, Tensor]:
        """See :class:`VaceEmbedding`.

        Raises:
            ValueError: control latents of another shape than the latents call for, or a part of a stream.
        """
        if _CONTROL not in conditions:
            if _SCALE in conditions:
                raise ValueError(f"{_SCALE} was given without {_CONTROL}; pass the control latents too")
            return {}
        if cache is not None:
            raise ValueError("context blocks read whole videos, not parts of a stream; leave the cache out")
        control = conditions[_CONTROL]
        sides = tuple(n * p for n, p in zip(grid, self.patch_size, strict=True))
        expected = (tokens.shape[0], self.in_channels, *sides)
        if tuple(control.shape) != expected:
            raise ValueError(f"{_CONTROL} has shape {tuple(control.shape)}; expected {expected}")
        embedded = PatchEmbedding.forward(self, control.to(tokens.device, self.weight.dtype))
        return {"control_tokens": embedded.flatten(2).transpose(1, 2)}


@register_conditioning(VACE)
class VaceBlocks(nn.ModuleList, Conditioning):
    """Leaves a hint after some blocks of the model (VACE, arXiv 2503.07598, section 3).

    ``c_0 = before(control) + x``, ``c_i = ContextBlock_i(c_{i-1})``, ``hint_i = after_i(c_i)``, each hint
    times its scale; ``x`` are the tokens before the first block. Parameters and config fields are those of
    diffusers' ``WanVACETransformer3DModel``. Fresh, ``before`` and ``after`` are zero.

    Conditions: ``control_hidden_states`` (B, ``vace_in_channels``, F, H, W), and
    ``control_hidden_states_scale``, one number a context block; without it all are 1.

    Args:
        config: of the model; ``vace_layers`` lists the blocks that get a hint, 0 among them, and
            ``vace_in_channels`` tells the channels of the control latents.

    Raises:
        ValueError: blocks that do not exist, twice the same, or none after the first.
    """

    slot: ClassVar[Slot] = "residual_hints"
    inputs: ClassVar[tuple[str, ...]] = (_CONTROL, _SCALE)
    shared: ClassVar[type[ConditionInput] | None] = VaceEmbedding
    attribute: ClassVar[str | None] = "vace_blocks"
    fields: ClassVar[tuple[str, ...]] = ("vace_layers", "vace_in_channels")

    def __init__(self, config: Any) -> None:
        layers = sorted(config.vace_layers)
        if layers[:1] != [0] or layers[-1] >= config.num_layers or len(set(layers)) < len(layers):
            raise ValueError(
                f"vace_layers is {list(config.vace_layers)}; expected different blocks from 0 to "
                f"{config.num_layers - 1}, 0 among them"
            )
        width = config.num_attention_heads * config.attention_head_dim
        super().__init__(
            VaceBlock(
                width,
                config.ffn_dim,
                config.num_attention_heads,
                config.cross_attn_norm,
                config.eps,
                config.added_kv_proj_dim,
                first=number == 0,
            )
            for number in range(len(layers))
        )
        self.layers = layers
        self.gradient_checkpointing = False
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fresh weights: as the model's blocks, but the projections before and after, which are zero."""
        reset_layers(self)
        for block in self._blocks():
            nn.init.normal_(block.scale_shift_table, std=block.scale_shift_table.shape[-1] ** -0.5)
            zero(*block.projections())

    @torch.no_grad()
    def start_from(self, model: nn.Module) -> None:
        """Each context block begins as the block that it gives a hint to."""
        for layer, block in zip(self.layers, self._blocks(), strict=True):
            source = cast(TransformerBlock, cast(Any, model).blocks[layer])
            for name in ("attn1", "norm2", "attn2", "ffn"):
                copy_weights(getattr(block, name), getattr(source, name))
            block.scale_shift_table.copy_(source.scale_shift_table)

    def forward(self, hidden_states: Tensor, context: BlockContext) -> dict[int, Tensor]:
        """Hints (B, L, D) by the number of the block after which each is added.

        Raises:
            ValueError: another number of scales than of context blocks.
        """
        if "control_tokens" not in context.conditions:
            return {}
        scales = context.conditions.get(_SCALE)
        if scales is not None and tuple(scales.shape) != (len(self),):
            raise ValueError(f"{_SCALE} has shape {tuple(scales.shape)}; expected ({len(self)},)")
        control, hints = context.conditions["control_tokens"], {}
        for number, (layer, block) in enumerate(zip(self.layers, self, strict=True)):
            inputs = (control, hidden_states, context, number)
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hint, control = cast(Any, self)._gradient_checkpointing_func(block, *inputs)
            else:
                hint, control = block(*inputs)
            hints[layer] = hint if scales is None else hint * scales[number].to(hint)
        return hints

    def _blocks(self) -> list[VaceBlock]:
        return [cast(VaceBlock, block) for block in self]
