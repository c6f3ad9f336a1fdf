"""Tiny real parts of a try-on: transformer with context blocks and guider, autoencoder, text encoder."""

from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from vision import TryOnPipeline
from vision.transformer import VideoTransformer

CHANNELS, SIDE = 4, 4  # of the latents, and pixels of one
ARCHITECTURE: dict[str, Any] = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 1,
    "attention_head_dim": 32,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "text_dim": 16,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
    "vace_layers": [0, 1],
    "vace_in_channels": 2 * CHANNELS + SIDE**2,
}
_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "zip", "adjust", "the", "hem", "collar", "a", "person"]
ACTIONS = [(1, 8, "zip"), (13, 16, "adjust the hem")]


def draw(network: nn.Module, std: float = 0.2, seed: int = 7) -> None:
    """Every parameter, also those that start at zero or one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))


def tiny_tryon(guider: dict[str, Any] | None = None, fresh: bool = False, **fields: Any) -> VideoTransformer:
    """Two blocks, two context blocks and a guider, all weights drawn; fresh, the guider's are not."""
    model = VideoTransformer(**{**ARCHITECTURE, **fields})
    draw(model)
    model.add_conditioning("guider", **(guider or {}))
    if not fresh:
        draw(model.guides)
    return model.eval()


def tiny_autoencoder() -> AutoencoderKLWan:
    """4 pixels a side and 4 frames become one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoencoderKLWan(
            base_dim=4,
            z_dim=CHANNELS,
            dim_mult=[1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[True, True],
            latents_mean=[0.1, -0.2, 0.3, 0.0],
            latents_std=[0.4, 0.5, 0.6, 0.7],
        ).eval()


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Words between a beginning and an end: "" has two tokens."""
    words: Any = Tokenizer(models.WordLevel({word: i for i, word in enumerate(_WORDS)}, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]")


def tiny_text_encoder(width: int = 16) -> BertModel:
    """One layer."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        config = BertConfig(
            vocab_size=len(_WORDS),
            hidden_size=width,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=32,
        )
        return BertModel(config).eval()


def pipeline_of(transformer: VideoTransformer | None = None, **options: Any) -> TryOnPipeline:
    """Two steps of shift 5 and guidance 3 with the tiny parts."""
    parts: dict[str, Any] = {
        "transformer": tiny_tryon() if transformer is None else transformer,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=5.0),
        "vae": tiny_autoencoder(),
        "text_encoder": tiny_text_encoder(),
        "tokenizer": tiny_tokenizer(),
        "default_num_inference_steps": 2,
        "default_guidance_scale": 3.0,
        "max_prompt_tokens": 8,
    }
    made = TryOnPipeline(**{**parts, **options})
    made.set_progress_bar_config(disable=True)
    return made


def clip_inputs(frames: int = 17, height: int = 16, width: int = 24, seed: int = 0) -> dict[str, Any]:
    """Noise for video, pose and hands, a mask of the middle, a garment."""
    generator = torch.Generator().manual_seed(seed)

    def pixels(count: int) -> Tensor:
        return torch.randint(0, 256, (3, count, height, width), generator=generator, dtype=torch.uint8)

    mask = torch.zeros(1, frames, height, width, dtype=torch.uint8)
    mask[:, :, 4:12, 4:-4] = 255
    return {
        "video": pixels(frames),
        "mask": mask,
        "pose": pixels(frames),
        "hands": pixels(frames),
        "garment": Image.fromarray(pixels(1)[:, 0].permute(1, 2, 0).numpy()),
    }


def pictures(pixels: Tensor) -> list[Image.Image]:
    """Frames (C, T, H, W), uint8, as pictures."""
    frames = pixels.permute(1, 2, 3, 0).numpy()
    return [
        Image.fromarray(np.ascontiguousarray(frame.squeeze(-1) if len(pixels) == 1 else frame))
        for frame in frames
    ]


def seeded(seed: int = 0) -> torch.Generator:
    """A generator on the CPU."""
    return torch.Generator().manual_seed(seed)
