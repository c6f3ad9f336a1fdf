"""Stable Diffusion 3: diffusers' StableDiffusion3Pipeline.

Legend: B samples, C channels, H height, W width of the latents; L text tokens, D their width.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from vision.distill.families.card_call import picture_call
from vision.distill.families.family import Drawing, LatentShape
from vision.distill.families.stock_family import StockFamily
from vision.flow.denoiser import Condition, Denoiser

#: Tokens of the two CLIP encoders, in front of those of T5.
_CLIP_TOKENS = 77


class SD3Denoiser(Denoiser):
    """``SD3Transformer2DModel``; conditions: ``prompt_embeds`` (B, L, D), ``pooled_prompt_embeds`` (B, P)."""

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocity at ``x_t`` (B, C, 1, H, W) and times ``t`` (B,) in [0, 1]; float32."""
        velocity = self.network(
            hidden_states=x_t[:, :, 0],
            timestep=1000 * t.float(),
            encoder_hidden_states=condition["prompt_embeds"],
            pooled_projections=condition["pooled_prompt_embeds"],
            return_dict=False,
        )[0]
        return velocity.float()[:, :, None]

    def time_embedder(self) -> nn.Module:
        """The layers between the sinusoids and the embedding of the time, output (B, width)."""
        return self.network.time_text_embed.timestep_embedder  # pyright: ignore


class SD3(StockFamily):
    """Stable Diffusion 3 and 3.5; a folder may lack the T5 encoder."""

    pipeline = "StableDiffusion3Pipeline"
    transformer = "SD3Transformer2DModel"
    license = "other"
    default_size = (1024, 1024, 1)
    default_prompt_tokens = 256
    max_tokens = 512

    @property
    def patch_size(self) -> tuple[int, int, int]:
        return 1, self.config["patch_size"], self.config["patch_size"]

    def latent_shape(self, height: int | None, width: int | None, num_frames: int | None) -> LatentShape:
        own = self.config["sample_size"] * self.factors[1]
        shape = super().latent_shape(height or own, width or own, num_frames)
        limit = self.config["pos_embed_max_size"] * self.config["patch_size"]
        if max(shape[2:]) > limit:
            raise ValueError(
                f"{shape[2] * self.factors[1]} x {shape[3] * self.factors[1]} pixels are more than the "
                f"network has positions for; give a height and width of at most {limit * self.factors[1]}"
            )
        return shape

    def prompt_length(self, max_prompt_tokens: int) -> int:
        return _CLIP_TOKENS + max_prompt_tokens

    def denoiser(self, network: nn.Module) -> SD3Denoiser:
        return SD3Denoiser(network)

    def load_text_encoders(self, device: Any, dtype: Any) -> Any:
        pipeline = super().load_text_encoders(device, dtype)
        if pipeline.text_encoder_3 is None:  # zeros then, as wide as the transformer's configuration says
            pipeline.transformer = self.empty_network()
        return pipeline

    def encode(self, pipeline: Any, prompt: str, max_prompt_tokens: int) -> tuple[dict[str, Tensor], int]:
        embeds, _, pooled, _ = pipeline.encode_prompt(
            [prompt],
            None,
            None,
            device=pipeline.text_encoder.device,
            do_classifier_free_guidance=False,
            max_sequence_length=max_prompt_tokens,
        )
        longest, limit = pipeline.tokenizer_3, max_prompt_tokens
        if longest is None:
            longest, limit = pipeline.tokenizer, _CLIP_TOKENS
        cut = len(longest(prompt, verbose=False)["input_ids"]) - limit
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}, cut

    def draw(self, network: nn.Module, drawing: Drawing) -> Tensor:
        null = drawing.null_condition
        latents = self.drawing_pipeline(network, drawing.sampler)(
            prompt_embeds=drawing.condition["prompt_embeds"],
            pooled_prompt_embeds=drawing.condition["pooled_prompt_embeds"],
            negative_prompt_embeds=null["prompt_embeds"],
            negative_pooled_prompt_embeds=null["pooled_prompt_embeds"],
            latents=drawing.noise[:, :, 0],
            height=drawing.noise.shape[-2] * self.factors[1],
            width=drawing.noise.shape[-1] * self.factors[1],
            num_inference_steps=len(drawing.sigmas),
            sigmas=list(drawing.sigmas),
            guidance_scale=drawing.guidance_scale,
            output_type="latent",
        ).images
        return latents.float()[:, :, None]

    @classmethod
    def call(
        cls, model: str, *, prompt: str, sigmas: Sequence[float], lora: str | None, **options: Any
    ) -> str:
        load = None if lora is None else f"pipeline.load_lora_weights({lora!r})"
        return picture_call(cls.pipeline, model, load, prompt, sigmas, options)
