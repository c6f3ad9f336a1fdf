"""Tiny real parts: a transformer of two blocks, a BERT of one layer and a word-piece tokenizer."""

from typing import Any

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from vision import TextToImagePipeline
from vision.transformer import VideoTransformer

TEXT_WIDTH = 16
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "photo", "of", "bag", "boot", "red", "coat", "dress"]


def tiny_transformer(kind: Any = VideoTransformer, **changes: Any) -> Any:
    torch.manual_seed(3)
    options = {
        "patch_size": (1, 2, 2),
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 1,
        "out_channels": 1,
        "text_dim": TEXT_WIDTH,
        "freq_dim": 16,
        "ffn_dim": 32,
        "num_layers": 2,
        "rope_max_seq_len": 32,
    }
    network = kind(**{**options, **changes})
    with torch.no_grad():  # fresh weights answer nearly nothing; these make every input matter
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network.eval()


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def tiny_text_encoder() -> BertModel:
    torch.manual_seed(4)
    return BertModel(
        BertConfig(
            vocab_size=len(WORDS),
            hidden_size=TEXT_WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=32,
        )
    ).eval()


def tiny_pipeline(**changes: Any) -> TextToImagePipeline:
    parts = {
        "transformer": tiny_transformer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "text_encoder": tiny_text_encoder(),
        "tokenizer": tiny_tokenizer(),
        "default_height": 8,
        "default_width": 12,
        "default_num_inference_steps": 3,
        "max_prompt_tokens": 8,
    }
    pipeline = TextToImagePipeline(**{**parts, **changes})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]
