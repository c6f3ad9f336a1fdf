"""The diffusion transformer that all systems share.

Legend: B batch, C channels, F frames, H height, W width of the latents, L tokens, D width of the model,
M prompt tokens, P picture tokens, G groups of tokens that share a timestep.
"""

import math
import os
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders.peft import PeftAdapterMixin
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.peft_utils import apply_lora_scale
from torch import Tensor, nn

from vision.transformer.actions import Actions
from vision.transformer.attention import Mask, find_backend
from vision.transformer.attention_layer import Attention
from vision.transformer.block import TransformerBlock
from vision.transformer.cache import KVCache
from vision.transformer.causal import CausalMixin
from vision.transformer.conditioned import ConditionedMixin
from vision.transformer.context import BlockContext
from vision.transformer.embedding import ConditionEmbedder, PatchEmbedding
from vision.transformer.guide_cache import GuideCache
from vision.transformer.initialization import reset_layers, reset_patches, zero
from vision.transformer.normalization import LayerNorm, modulate
from vision.transformer.original import OriginalFormatMixin
from vision.transformer.prediction import checked_prediction_type, velocity_from_sample
from vision.transformer.rotary import RotaryEmbedding
from vision.transformer.timed_text import TIMED_TEXT, TIMED_TEXT_TOKENS
from vision.transformer.vace import CONTROL_CHANNELS, VACE

if TYPE_CHECKING:
    from typing_extensions import Self

# Classes whose folders hold the same parameters under the same names.
_LOADABLE = ("VideoTransformer", "WanTransformer3DModel", "WanVACETransformer3DModel")
_HUB_ARGUMENTS = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "proxies",
    "revision",
    "subfolder",
    "token",
)


class VideoTransformer(
    ModelMixin, ConfigMixin, PeftAdapterMixin, OriginalFormatMixin, CausalMixin, ConditionedMixin
):
    """Wan's video transformer, with slots for further conditions.

    Config fields and parameter names are those of diffusers' ``WanTransformer3DModel``, with context blocks
    those of ``WanVACETransformer3DModel``: a folder saved by one class loads with the other, and their
    outputs are equal up to float32 rounding. A picture is a video of one frame.

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
        vace_layers: blocks that get a hint from VACE's context blocks (:mod:`vision.transformer.vace`); None
            for a model without them.
        vace_in_channels: channels of the control latents; None for 96, those of the releases.
        conditioning: options of each conditioning module by its registered name; the option ``blocks``
            lists the blocks that have it (all, if left out). See :mod:`vision.transformer.conditioning`.
        causal: ``chunk`` and ``window`` of :class:`~vision.transformer.causal.Causality`, for a model that
            makes a video part by part; None for one whose frames all see each other.
        prediction_type: ``"sample"`` has the output layer predict clean latents, from which the velocity
            follows (:func:`vision.transformer.prediction.velocity_from_sample`); None the velocity itself,
            as all released weights do.
        previous_frame: whether each token is told of the last frame before its chunk, or of the first one
            (:meth:`~vision.transformer.causal.CausalMixin.add_previous_frame`); None for no.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["TransformerBlock", "VaceBlock", "GuiderBlock"]
    _repeated_blocks: ClassVar[list[str]] = ["TransformerBlock", "VaceBlock", "GuiderBlock"]
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
        vace_layers: list[int] | None = None,
        vace_in_channels: int | None = None,
        conditioning: dict[str, dict[str, Any]] | None = None,
        causal: dict[str, Any] | None = None,
        prediction_type: str | None = None,
        previous_frame: bool | None = None,
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
        self.gradient_checkpointing = False
        self.attention_backend: str | None = None
        self._open_slots()
        self.prediction_type = checked_prediction_type(prediction_type)
        self.set_field("prediction_type", prediction_type)
        if vace_layers:
            channels = CONTROL_CHANNELS if vace_in_channels is None else vace_in_channels
            self._plug_in(VACE, None, {"vace_layers": list(vace_layers), "vace_in_channels": channels})
        for name, options in (conditioning or {}).items():
            of_class = {option: value for option, value in options.items() if option != "blocks"}
            self._plug_in(name, options.get("blocks"), of_class)
        self.unset_causal()
        if causal:
            self.set_causal(**causal)
        self.previous_patch_embedding = None
        self.set_field("previous_frame", None)
        if previous_frame:
            self.add_previous_frame()

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
        cache: KVCache | None = None,
        past: Tensor | None = None,
        guide_cache: GuideCache | None = None,
        **conditions: Tensor | Actions | None,
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
                query sees a key, or a flex ``BlockMask``. A causal model makes its own.
            cache: for a causal model, the memory of a stream: ``hidden_states`` are its next latent frames,
                at most a chunk of them, and see those kept in it. See :class:`KVCache`.
            past: for a causal model, the same video clean, shape of ``hidden_states``: each chunk sees the
                clean chunks before its own, at time 0, in place of the noisy ones (teacher forcing), so that
                one pass is a step of a stream for every chunk.
            guide_cache: keeps what a guider made of its conditions for the next steps. See
                :class:`~vision.transformer.guide_cache.GuideCache`.
            conditions: inputs of the conditioning modules by name; None stands for absent. ``actions``, an
                :class:`Actions`, stands for its ``sticks`` and ``buttons``.

        Returns:
            ``sample`` of shape (B, out_channels, F, H, W), the velocity.

        Raises:
            ValueError: latents that the patches do not tile, a timestep of another shape, a condition
                that no module of this model reads, a cache or mask that does not fit the model.
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

        start = 0 if cache is None else cache.start
        layers = self.open_cache(cache, batch, grid)
        if past is not None:
            self._check_past(past, hidden_states)
        tokens, rotary = self._embed_patches(hidden_states), self.rope(grid, hidden_states.device, start)
        times, told = timestep, self._embed_previous(hidden_states if past is None else past, cache)
        if told is not None:
            tokens = tokens + told
        if past is not None:
            clean = self._embed_patches(past)
            tokens = torch.cat([clean if told is None else clean + told, tokens], 1)
            rotary = torch.cat([rotary, rotary])
            times = timestep if timestep.ndim > 1 else timestep.unsqueeze(1).expand(-1, frames)
            times = torch.cat([torch.zeros_like(times), times], 1)
        known = self._known_conditions(conditions)
        self._begin_guide(guide_cache, grid, encoder_hidden_states, known)
        if TIMED_TEXT in known:
            known[TIMED_TEXT_TOKENS] = self.condition_embedder.embed_text(known[TIMED_TEXT])
        for shared in self._shared_inputs():
            known |= shared(known, tokens, grid, cache, past is not None)
        embedding, modulation = self.condition_embedder.embed_time(
            times,
            self.time_conditioning.values(),  # type: ignore[reportArgumentType]
            known,
        )
        text, image = self._embed_prompt(encoder_hidden_states, encoder_hidden_states_image, cache)
        token_mask, frame_mask = self.causal_masks(
            grid, tokens.device, attention_mask, cache, with_past=past is not None
        )
        context = BlockContext(
            encoder_hidden_states=text,
            image_hidden_states=image,
            modulation=modulation,
            rotary=rotary,
            grid=grid if past is None else (2 * frames, rows, columns),
            attention_mask=token_mask,
            backend=self.attention_backend,
            conditions=known,
            frame_mask=frame_mask,
            guide_cache=guide_cache,
        )

        hints = self._all_hints(tokens, context)
        for number, block in enumerate(self.blocks):
            if layers is not None:
                context = context._replace(cache=layers[number])
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                assert self._gradient_checkpointing_func is not None
                tokens = self._gradient_checkpointing_func(block, tokens, context)
            else:
                tokens = block(tokens, context)
            for hint in hints:
                if number in hint:
                    tokens = tokens + hint[number]

        if past is not None:
            tokens, embedding = (half.chunk(2, dim=1)[1] for half in (tokens, embedding))
        shift, scale = (embedding.unsqueeze(2) + self.scale_shift_table.float()).unbind(2)  # (B, G, D)
        tokens = modulate(self.norm_out(tokens), (1 + scale).to(tokens.dtype), shift.to(tokens.dtype))
        patches = self.proj_out(tokens).unflatten(2, (*self.patch_size, -1)).unflatten(1, grid)
        # (B, F', H', W', f, h, w, C) to (B, C, F, H, W)
        sample = patches.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        if self.prediction_type == "sample":
            sample = velocity_from_sample(hidden_states, sample, timestep, grid, self.patch_size)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def _embed_patches(self, latents: Tensor) -> Tensor:
        """Tokens (B, L, D) of latents (B, C, F, H, W)."""
        return self.patch_embedding(latents.to(self.patch_embedding.weight.dtype)).flatten(2).transpose(1, 2)

    def _embed_previous(self, latents: Tensor, cache: KVCache | None) -> Tensor | None:
        """What the tokens are told of the frame before their chunk (B, L, D); None for nothing."""
        embedding = self.previous_patch_embedding
        if embedding is None:
            return None
        before = self.last_frames(latents, cache).to(embedding.weight.dtype)
        return embedding(before).flatten(2).transpose(1, 2)

    def _check_past(self, past: Tensor, hidden_states: Tensor) -> None:
        if past.shape != hidden_states.shape:
            raise ValueError(
                f"past has shape {tuple(past.shape)}, expected that of hidden_states, "
                f"{tuple(hidden_states.shape)}"
            )
        beside = [*self.guides, *self.hints, *([VACE] if self.vace_blocks is not None else [])]
        if beside:
            raise ValueError(
                f"a past was given to a model with {', '.join(beside)}, which has no place for it"
            )

    def _check_timestep(self, timestep: Tensor, batch: int, grid: tuple[int, int, int]) -> None:
        tokens = math.prod(grid)
        if tuple(timestep.shape) not in ((batch,), (batch, grid[0]), (batch, tokens)):
            raise ValueError(
                f"timestep has shape {tuple(timestep.shape)}; {batch} samples of {grid} tokens take "
                f"({batch},), ({batch}, {grid[0]}) or ({batch}, {tokens})"
            )

    def _embed_prompt(
        self, text: Tensor, image: Tensor | None, cache: KVCache | None
    ) -> tuple[Tensor, Tensor | None]:
        def embed() -> tuple[Tensor, Tensor | None]:
            return self.condition_embedder.embed_text(text), self._embed_image(image)

        return embed() if cache is None else cache.embed_prompt((text, image), embed)

    def _embed_image(self, features: Tensor | None) -> Tensor | None:
        if features is None:
            return None
        if self.condition_embedder.image_embedder is None:
            raise ValueError("picture features were given to a model without image_dim in its config")
        return self.condition_embedder.image_embedder(features)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Fresh weights for training from scratch, as the original Wan draws them.

        Linear layers and patches: Xavier uniform, zero bias; embeddings of time and prompt: N(0, 0.02);
        modulation tables: N(0, 1 / D); output layer and conditioning: zero, so what is first predicted is 0.
        """
        reset_layers(self)
        reset_patches(self.patch_embedding)
        for embedder in (self.condition_embedder.text_embedder, self.condition_embedder.time_embedder):
            for layer in (embedder.linear_1, embedder.linear_2):
                nn.init.normal_(layer.weight, std=0.02)
        width = self.scale_shift_table.shape[-1]
        for module in (self, *self.blocks):
            nn.init.normal_(module.scale_shift_table, std=width**-0.5)  # type: ignore[reportArgumentType]
        zero(self.proj_out)
        if self.previous_patch_embedding is not None:
            nn.init.zeros_(self.previous_patch_embedding.weight)
        for module in self._plugged_in():
            module.reset_parameters()

    def set_attention_backend(self, backend: str | None) -> None:
        """Uses one attention backend in all blocks; None gives back the choice by device and type.

        Conditioning modules that attend over frames alone, to a few keys, keep the choice by device and type.

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
