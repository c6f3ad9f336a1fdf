"""LongCat-Image: diffusers' LongCatImagePipeline.

Legend: B samples, C channels, H height, W width of the latents; h, w the same halved, N = h w tokens of the
picture; L prompt tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.pipelines.longcat_image.pipeline_longcat_image import LongCatImagePipeline, split_quotation
from torch import Tensor, nn

from vision.distill.families.card_call import picture_call
from vision.distill.families.family import Drawing
from vision.distill.families.stock_family import StockFamily
from vision.flow.denoiser import Condition, Denoiser
from vision.lora.adapters import LORA_FILE

#: Where the picture's positions begin, however long the prompt is: a constant of the pipeline.
_PROMPT_TOKENS = 512


class LongCatImageDenoiser(Denoiser):
    """``LongCatImageTransformer2DModel``; a condition is ``prompt_embeds`` (B, L, D)."""

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocity at ``x_t`` (B, C, 1, H, W) and times ``t`` (B,) in [0, 1]; float32."""
        rows, columns = x_t.shape[-2] // 2, x_t.shape[-1] // 2
        embeds = condition["prompt_embeds"]
        velocity = self.network(
            hidden_states=pack(x_t),
            timestep=t.float(),  # the network itself multiplies by 1000
            encoder_hidden_states=embeds,
            txt_ids=_text_positions(embeds.shape[1], x_t.device),
            img_ids=_picture_positions(rows, columns, x_t.device),
            return_dict=False,
        )[0]
        return unpack(velocity.float(), rows, columns)

    def time_embedder(self) -> nn.Module:
        """The layers between the sinusoids and the embedding of the time, output (B, width)."""
        return self.network.time_embed.timestep_embedder  # pyright: ignore


def pack(x: Tensor) -> Tensor:
    """Squares of four latents to tokens: (B, C, 1, H, W) to (B, N, 4 C)."""
    squares = x[:, :, 0].unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (B, C, h, 2, w, 2)
    return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Inverse of :func:`pack`."""
    squares = tokens.unflatten(2, (-1, 2, 2)).unflatten(1, (rows, columns))  # (B, h, w, C, 2, 2)
    return squares.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)[:, :, None]


def _text_positions(length: int, device: torch.device) -> Tensor:
    """(L, 3): 0, and twice the number of the token."""
    number = torch.arange(length, device=device, dtype=torch.float32)
    return torch.stack([torch.zeros_like(number), number, number], dim=1)


def _picture_positions(rows: int, columns: int, device: torch.device) -> Tensor:
    """(N, 3): 1, row and column, both counted on from the prompt's."""
    row = torch.arange(rows, device=device, dtype=torch.float32).repeat_interleave(columns)
    column = torch.arange(columns, device=device, dtype=torch.float32).repeat(rows)
    return torch.stack([torch.ones_like(row), row + _PROMPT_TOKENS, column + _PROMPT_TOKENS], dim=1)


class _EmbeddedPipeline(LongCatImagePipeline):
    """The stock pipeline, which asks for the length of the prompt also where it is given embeddings."""

    def encode_prompt(
        self, prompt: Any = None, num_images_per_prompt: int | None = 1, prompt_embeds: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        assert prompt_embeds is not None
        return super().encode_prompt([""] * len(prompt_embeds), num_images_per_prompt, prompt_embeds)


class LongCatImage(StockFamily):
    """LongCat-Image. Prompts are not rewritten; guidance is plain classifier-free guidance."""

    pipeline = "LongCatImagePipeline"
    transformer = "LongCatImageTransformer2DModel"
    license = "apache-2.0"
    default_size = (1024, 1024, 1)
    default_prompt_tokens = max_tokens = _PROMPT_TOKENS
    patch_size = (1, 2, 2)  # pyright: ignore[reportAssignmentType]

    @property
    def channels(self) -> int:
        return self.config["in_channels"] // 4

    def max_prompt_tokens(self, asked: int | None) -> int:
        if asked not in (None, _PROMPT_TOKENS):
            raise ValueError(
                f"max_prompt_tokens is {asked}, but a {self.pipeline} always takes {_PROMPT_TOKENS}; "
                "leave it out"
            )
        return _PROMPT_TOKENS

    def denoiser(self, network: nn.Module) -> LongCatImageDenoiser:
        return LongCatImageDenoiser(network)

    def encode(self, pipeline: Any, prompt: str, max_prompt_tokens: int) -> tuple[dict[str, Tensor], int]:
        embeds, _ = pipeline.encode_prompt([prompt])
        # A quoted text is cut into its letters.
        pieces = [p for text, quoted in split_quotation(prompt) for p in (text if quoted else [text])]
        ids = (pipeline.tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in pieces)
        return {"prompt_embeds": embeds}, sum(map(len, ids)) - max_prompt_tokens

    @property
    def _drawing_class(self) -> Any:
        return _EmbeddedPipeline

    def draw(self, network: nn.Module, drawing: Drawing) -> Tensor:
        height, width = drawing.noise.shape[-2:]
        tokens = self.drawing_pipeline(network, drawing.sampler)(
            prompt_embeds=drawing.condition["prompt_embeds"],
            negative_prompt_embeds=drawing.null_condition["prompt_embeds"],
            latents=pack(drawing.noise),
            height=height * self.factors[1],
            width=width * self.factors[1],
            num_inference_steps=len(drawing.sigmas),
            sigmas=list(drawing.sigmas),
            guidance_scale=drawing.guidance_scale,
            enable_cfg_renorm=False,
            enable_prompt_rewrite=False,
            output_type="latent",
        ).images
        return unpack(tokens.float(), height // 2, width // 2)

    @classmethod
    def call(
        cls, model: str, *, prompt: str, sigmas: Sequence[float], lora: str | None, **options: Any
    ) -> str:
        load = None
        if lora is not None:  # the pipeline has no load_lora_weights
            load = f"pipeline.transformer.load_lora_adapter({lora!r}, weight_name={LORA_FILE!r})"
        options = {**options, "enable_prompt_rewrite": False}
        return picture_call(cls.pipeline, model, load, prompt, sigmas, options)
