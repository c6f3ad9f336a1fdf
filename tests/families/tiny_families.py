"""Tiny random pipelines of diffusers' own classes, with real text encoders and local tokenizers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_longcat_image import LongCatImageTransformer2DModel
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.longcat_image.pipeline_longcat_image import LongCatImagePipeline
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import StableDiffusion3Pipeline
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

#: Pixels of a tiny picture, and frames of a tiny video.
HEIGHT, WIDTH, FRAMES = 32, 16, 5
PROMPTS = ["a red fox", "a blue bird in the snow", "two old boats"]
WIDTH_OF_TEXT = 32


def tokenizer(max_length: int) -> PreTrainedTokenizerFast:
    """Bytes to numbers, with an end mark: knows every text."""
    marks = ["<pad>", "</s>", "<unk>"]
    letters = {letter: i for i, letter in enumerate([*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    made = Tokenizer(models.BPE(letters, [], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    made.decoder = decoders.ByteLevel()  # pyright: ignore
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])  # pyright: ignore
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=max_length,
    )


def shaken(network: Any) -> Any:
    """Fresh weights answer nearly nothing; these make every input matter."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network.eval()


def clip() -> CLIPTextModelWithProjection:
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=300,
            hidden_size=16,
            intermediate_size=32,
            projection_dim=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=77,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=1,
        )
    ).eval()


def t5(kind: Any, config: Any) -> Any:
    narrow = {"d_model": WIDTH_OF_TEXT, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    return kind(config(vocab_size=300, **narrow)).eval()


def picture_vae(channels: int = 4) -> AutoencoderKL:
    kind: Any = AutoencoderKL  # its annotations are of tuples of one
    return kind(
        in_channels=3,
        out_channels=3,
        latent_channels=channels,
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        shift_factor=0.1,
        scaling_factor=1.5,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()


def sd3(**changes: Any) -> StableDiffusion3Pipeline:
    torch.manual_seed(1)
    network = SD3Transformer2DModel(
        sample_size=4,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH_OF_TEXT,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=8,
    )
    parts: dict[str, Any] = {
        "transformer": shaken(network),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "vae": picture_vae(),
        "text_encoder": clip(),
        "tokenizer": tokenizer(77),
        "text_encoder_2": clip(),
        "tokenizer_2": tokenizer(77),
        "text_encoder_3": t5(T5EncoderModel, T5Config),
        "tokenizer_3": tokenizer(512),
    }
    return StableDiffusion3Pipeline(**{**parts, **changes})


def longcat(**changes: Any) -> LongCatImagePipeline:
    torch.manual_seed(2)
    network = LongCatImageTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH_OF_TEXT,
        pooled_projection_dim=WIDTH_OF_TEXT,
        axes_dims_rope=[4, 6, 6],
    )
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 300,
            "hidden_size": WIDTH_OF_TEXT,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_scaling": {"mrope_section": [2, 2, 4], "rope_type": "default", "type": "default"},
            "rope_theta": 10000.0,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH_OF_TEXT,
        },
        vision_start_token_id=290,
        vision_end_token_id=291,
        image_token_id=292,
        video_token_id=293,
    )
    parts: dict[str, Any] = {
        "transformer": shaken(network),
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        "vae": picture_vae(16),
        "text_encoder": Qwen2_5_VLForConditionalGeneration(config).eval(),
        "tokenizer": tokenizer(1024),
        # Stands in for Qwen2VLProcessor, which needs torchvision; only the rewriting of prompts asks it.
        "text_processor": tokenizer(1024),
    }
    return LongCatImagePipeline(**{**parts, **changes})


def wan(**changes: Any) -> WanPipeline:
    torch.manual_seed(3)
    network = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=WIDTH_OF_TEXT,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    )
    parts: dict[str, Any] = {
        "transformer": shaken(network),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        "vae": AutoencoderKLWan(
            base_dim=3,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        ).eval(),
        "text_encoder": t5(UMT5EncoderModel, UMT5Config),
        "tokenizer": tokenizer(512),
    }
    return WanPipeline(**{**parts, **changes})


MAKE: dict[str, Callable[..., Any]] = {"sd3": sd3, "longcat_image": longcat, "wan": wan}


def sizes(family: str) -> dict[str, int]:
    """The keys of a recipe that make tiny pictures and videos."""
    return {"height": HEIGHT, "width": WIDTH, **({"num_frames": FRAMES} if family == "wan" else {})}


def save(family: str, folder: Path, **changes: Any) -> Path:
    """Writes the family's tiny pipeline."""
    MAKE[family](**changes).save_pretrained(folder)
    return folder
