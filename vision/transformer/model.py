"""The diffusion transformer that all systems share.

Legend: B batch, C channels, F frames, H height, W width of the latents, L tokens, D width of the model,
M prompt tokens, P picture tokens, G groups of tokens that share a timestep.
"""

import math
import os
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from diffusers.configuration_utils import ConfigMixin, FrozenDict, register_to_config
from diffusers.loaders.peft import PeftAdapterMixin
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.peft_utils import apply_lora_scale
from torch import Tensor, nn

from vision.transformer.attention import Mask, find_backend
from vision.transformer.attention_layer import Attention
from vision.transformer.block import TransformerBlock
from vision.transformer.conditioning import Conditioning, find_conditioning
from vision.transformer.context import BlockContext
from vision.transformer.embedding import ConditionEmbedder, PatchEmbedding
from vision.transformer.normalization import LayerNorm, modulate
from vision.transformer.original import OriginalFormatMixin
from vision.transformer.rotary import RotaryEmbedding

if TYPE_CHECKING:
    from typing_extensions import Self

# Classes whose folders hold the same parameters under the same names.
_LOADABLE = ("VideoTransformer", "WanTransformer3DModel")
_HUB_ARGUMENTS = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "proxies",
    "revision",
    "subfolder",
    "token",
)


class VideoTransformer(ModelMixin, ConfigMixin, PeftAdapterMixin, OriginalFormatMixin):
    """Wan's video transformer, with slots for further conditions.

    Config fields and parameter names are those of diffusers' ``WanTransformer3DModel``: a folder saved by
    one class loads with the other, and their outputs are equal up to float32 rounding. A picture is a
    video of one frame.

    Args:
        patch_size: extent of a token in frames, rows and columns of the latents.
        num_attention_heads: heads; the width D of the model is heads times ``attention_head_dim``.
        attention_head_dim: width of a head, even.
        in_channels: channels of the input latents.
        out_channels: channels of the output; None for ``in_channels``.
        text_dim: width of the prompt embeddings.
        freq_dim: width of the sinusoidal embedding of the time, even.
        ffn_dim: inner width of the feed-forward networks.
        num_layers: blocks.
        cross_attn_norm: whether a layer norm precedes cross-attention.
        qk_norm: only ``"rms_norm_across_heads"``, what all released weights use.
        eps: of all norms.
        image_dim: width of picture features; None for a model without them.
        added_kv_proj_dim: width of the picture tokens in cross-attention, which is D; None without them.
        rope_max_seq_len: longest side of the token grid.
        pos_embed_seq_len: picture tokens of first and last frame together, where they have positions.
        conditioning: options of each conditioning module by its registered name; the option ``blocks``
            lists the blocks that have it (all, if left out). See :mod:`vision.transformer.conditioning`.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["TransformerBlock"]
    _repeated_blocks: ClassVar[list[str]] = ["TransformerBlock"]
    _skip_layerwise_casting_patterns: ClassVar[list[str]] = ["patch_embedding", "condition_embedder", "norm"]
    _keep_in_fp32_modules: ClassVar[list[str]] = [
        "time_embedder",
        "scale_shift_table",
        "norm1",
        "norm2",
        "norm3",
    ]
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = ["norm_added_q"]

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 40,
        attention_head_dim: int = 128,
        in_channels: int = 16,
        out_channels: int | None = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 13824,
        num_layers: int = 40,
        cross_attn_norm: bool = True,
        qk_norm: str | None = "rms_norm_across_heads",
        eps: float = 1e-6,
        image_dim: int | None = None,
        added_kv_proj_dim: int | None = None,
        rope_max_seq_len: int = 1024,
        pos_embed_seq_len: int | None = None,
        conditioning: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        if qk_norm != "rms_norm_across_heads":
            raise ValueError(f"qk_norm is {qk_norm!r}; only 'rms_norm_across_heads' exists")
        width = num_attention_heads * attention_head_dim
        self.patch_size = (patch_size[0], patch_size[1], patch_size[2])
        self.rope = RotaryEmbedding(attention_head_dim, rope_max_seq_len)
        self.patch_embedding = PatchEmbedding(in_channels, width, self.patch_size, stride=self.patch_size)
        self.condition_embedder = ConditionEmbedder(width, freq_dim, text_dim, image_dim, pos_embed_seq_len)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, ffn_dim, num_attention_heads, cross_attn_norm, eps, added_kv_proj_dim)
            for _ in range(num_layers)
        )
        self.norm_out = LayerNorm(width, eps, elementwise_affine=False)
        self.proj_out = nn.Linear(width, (out_channels or in_channels) * math.prod(self.patch_size))
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, width) / width**0.5)
        self.hints = nn.ModuleDict()
        self.gradient_checkpointing = False
        self.attention_backend: str | None = None
        self._set_conditioning({})
        for name, options in (conditioning or {}).items():
            self.add_conditioning(name, **options)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> "Self":
        """Loads a folder, or a model of the hub, saved by this class or by diffusers' Wan transformer.

        Args:
            pretrained_model_name_or_path: folder or hub id.
            kwargs: those of diffusers' ``ModelMixin.from_pretrained`` (``torch_dtype``, ``subfolder``, ...).

        Raises:
            ValueError: the folder holds another architecture, or its parameters are not the model's.
        """
        hub = {name: kwargs[name] for name in _HUB_ARGUMENTS if name in kwargs}
        found = cast(dict, cls.load_config(pretrained_model_name_or_path, **hub)).get("_class_name")
        if found not in _LOADABLE:
            raise ValueError(
                f"{pretrained_model_name_or_path} holds a {found or 'config without a class name'}; "
                f"expected one of {', '.join(_LOADABLE)}"
            )
        with_info = kwargs.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, output_loading_info=True, **kwargs
        )
        model, info = loaded
        for kind in ("missing", "unexpected"):
            if keys := info[f"{kind}_keys"]:
                raise ValueError(
                    f"{pretrained_model_name_or_path}: {len(keys)} {kind} parameters, as {sorted(keys)[:3]}; "
                    "its config.json and its weights do not belong together"
                )
        return loaded if with_info else model

    @apply_lora_scale("attention_kwargs")
    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_hidden_states_image: Tensor | None = None,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        attention_mask: Mask | None = None,
        **conditions: Tensor | None,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Predicts the velocity.

        Args:
            hidden_states: noisy latents, shape (B, C, F, H, W); cast to the type of the weights.
            timestep: 1000 t in [0, 1000], float32; shape (B,), or one a latent frame or one a token
                (Wan 2.2 TI2V), shape (B, F') or (B, L) with F' frames of tokens.
            encoder_hidden_states: prompt embeddings, shape (B, M, text_dim).
            encoder_hidden_states_image: picture features, shape (B, P, image_dim), or (2 B, P, image_dim)
                for a model with ``pos_embed_seq_len``.
            return_dict: whether to return an output object instead of a tuple.
            attention_kwargs: ``{"scale": s}`` scales the active LoRAs, as in diffusers.
            attention_mask: of the self-attention: boolean, broadcast to (B, heads, L, L), true where a
                query sees a key, or a flex ``BlockMask``.
            conditions: inputs of the conditioning modules by name; None stands for absent.

        Returns:
            ``sample`` of shape (B, out_channels, F, H, W).

        Raises:
            ValueError: latents that the patches do not tile, a timestep of another shape, a condition
                that no module of this model reads.
        """
        batch, _, *size = hidden_states.shape
        if any(length % patch for length, patch in zip(size, self.patch_size, strict=True)):
            raise ValueError(
                f"latents of {tuple(size)} (frames, height, width) are no multiple of the patch size "
                f"{self.patch_size}; crop or pad them"
            )
        frames, rows, columns = (n // p for n, p in zip(size, self.patch_size, strict=True))
        grid = (frames, rows, columns)
        self._check_timestep(timestep, batch, grid)

        tokens = self.patch_embedding(hidden_states.to(self.patch_embedding.weight.dtype))
        tokens = tokens.flatten(2).transpose(1, 2)  # (B, L, D)
        embedding, modulation = self.condition_embedder.embed_time(timestep)
        image = self._embed_image(encoder_hidden_states_image)
        context = BlockContext(
            encoder_hidden_states=self.condition_embedder.embed_text(encoder_hidden_states),
            image_hidden_states=image,
            modulation=modulation,
            rotary=self.rope(grid, tokens.device),
            grid=grid,
            attention_mask=attention_mask,
            backend=self.attention_backend,
            conditions=self._known_conditions(conditions),
        )

        hints = [hint(tokens, context) for hint in self.hints.values()]
        for number, block in enumerate(self.blocks):
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                assert self._gradient_checkpointing_func is not None
                tokens = self._gradient_checkpointing_func(block, tokens, context)
            else:
                tokens = block(tokens, context)
            for hint in hints:
                if number in hint:
                    tokens = tokens + hint[number]

        shift, scale = (embedding.unsqueeze(2) + self.scale_shift_table.float()).unbind(2)  # (B, G, D)
        tokens = modulate(self.norm_out(tokens), (1 + scale).to(tokens.dtype), shift.to(tokens.dtype))
        patches = self.proj_out(tokens).unflatten(2, (*self.patch_size, -1)).unflatten(1, grid)
        # (B, F', H', W', f, h, w, C) to (B, C, F, H, W)
        sample = patches.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def _check_timestep(self, timestep: Tensor, batch: int, grid: tuple[int, int, int]) -> None:
        tokens = math.prod(grid)
        if tuple(timestep.shape) not in ((batch,), (batch, grid[0]), (batch, tokens)):
            raise ValueError(
                f"timestep has shape {tuple(timestep.shape)}; {batch} samples of {grid} tokens take "
                f"({batch},), ({batch}, {grid[0]}) or ({batch}, {tokens})"
            )

    def _embed_image(self, features: Tensor | None) -> Tensor | None:
        if features is None:
            return None
        if self.condition_embedder.image_embedder is None:
            raise ValueError("picture features were given to a model without image_dim in its config")
        return self.condition_embedder.image_embedder(features)

    @property
    def condition_names(self) -> set[str]:
        """Names of the further conditions that the conditioning modules of this model read."""
        kinds = map(find_conditioning, self.config.get("conditioning") or {})
        return {name for kind in kinds for name in kind.inputs}

    def _known_conditions(self, conditions: dict[str, Tensor | None]) -> dict[str, Tensor]:
        if unknown := conditions.keys() - self.condition_names:
            raise ValueError(
                f"this model reads no condition called {sorted(unknown)}; "
                f"it reads {sorted(self.condition_names) or 'none'}"
            )
        return {name: value for name, value in conditions.items() if value is not None}

    def add_conditioning(self, name: str, blocks: list[int] | None = None, **options: Any) -> None:
        """Plugs a fresh conditioning module into its slot; the output stays as it is until it is trained.

        Args:
            name: the name under which its class is registered.
            blocks: numbers of the blocks that get one; None for all. Not for residual hints.
            options: arguments of the class.

        Raises:
            ValueError: an unknown name, one that the model has already, or a block that does not exist.
        """
        present = dict(self.config.get("conditioning") or {})
        if name in present:
            raise ValueError(f"the model has a conditioning module {name!r} already")
        kind = find_conditioning(name)
        like = self.patch_embedding.weight
        if kind.slot == "residual_hints":
            if blocks is not None:
                raise ValueError(
                    f"{name!r} gives residual hints and lives beside the blocks; leave out 'blocks'"
                )
            self.hints[name] = kind(self.config, **options).to(like.device, like.dtype)
            present[name] = options
        else:
            numbers = range(len(self.blocks)) if blocks is None else blocks
            if missing := [number for number in numbers if not 0 <= number < len(self.blocks)]:
                raise ValueError(f"{name!r} is wanted in blocks {missing}; there are {len(self.blocks)}")
            for number in numbers:
                block = cast(TransformerBlock, self.blocks[number])
                block.conditioning[name] = kind(self.config, **options).to(like.device, like.dtype)
            present[name] = options if blocks is None else {"blocks": list(blocks), **options}
        self._set_conditioning(present)

    def _set_conditioning(self, conditioning: dict[str, dict[str, Any]]) -> None:
        # Without modules the field is left out, so that diffusers' class reads the config without a warning.
        fields = {name: value for name, value in self.config.items() if name != "conditioning"}
        # diffusers' from_config passes over fields that are said to be at their default.
        at_default = [name for name in fields.get("_use_default_values", []) if name != "conditioning"]
        fields["_use_default_values"] = at_default
        self._internal_dict = FrozenDict({**fields, "conditioning": conditioning} if conditioning else fields)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Fresh weights for training from scratch, as the original Wan draws them.

        Linear layers and patches: Xavier uniform, zero bias; embeddings of time and prompt: N(0, 0.02);
        modulation tables: N(0, 1 / D); output layer and conditioning: zero, so the first prediction is 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm | nn.RMSNorm) and module.elementwise_affine:
                module.reset_parameters()
        nn.init.xavier_uniform_(self.patch_embedding.weight.flatten(1))
        assert self.patch_embedding.bias is not None
        nn.init.zeros_(self.patch_embedding.bias)
        for embedder in (self.condition_embedder.text_embedder, self.condition_embedder.time_embedder):
            for layer in (embedder.linear_1, embedder.linear_2):
                nn.init.normal_(layer.weight, std=0.02)
        width = self.scale_shift_table.shape[-1]
        for module in (self, *self.blocks):
            nn.init.normal_(module.scale_shift_table, std=width**-0.5)  # type: ignore[reportArgumentType]
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        for module in self.modules():
            if isinstance(module, Conditioning):
                module.reset_parameters()

    def set_attention_backend(self, backend: str | None) -> None:
        """Uses one attention backend in all blocks; None gives back the choice by device and type.

        Raises:
            AttentionBackendError: an unknown backend, or one that is not installed.
        """
        if backend is not None:
            find_backend(backend)
        self.attention_backend = backend

    def reset_attention_backend(self) -> None:
        """Gives back the choice of the backend by device and type."""
        self.set_attention_backend(None)

    def fuse_projections(self) -> None:
        """Computes queries, keys and values of one input as one product. Weights keep their names.

        Raises:
            ValueError: a projection carries an adapter; then nothing is changed.
        """
        layers = [module for module in self.modules() if isinstance(module, Attention)]
        for layer in layers:
            layer.check_plain()
        for layer in layers:
            layer.fused = True

    def unfuse_projections(self) -> None:
        """Computes each projection by itself again."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.fused = False
