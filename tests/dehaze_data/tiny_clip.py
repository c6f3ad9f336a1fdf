"""A tiny random CLIP of transformers' own classes."""

from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

SIDE = 32


def tiny_clip(seed: int = 0) -> CLIPModel:
    torch.manual_seed(seed)
    layers = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    marks = {"pad_token_id": 513, "bos_token_id": 512, "eos_token_id": 513}
    config = CLIPConfig(
        text_config={**layers, **marks, "vocab_size": 514, "max_position_embeddings": 77},
        vision_config={**layers, "image_size": SIDE, "patch_size": 8},
        projection_dim=24,
    )
    return CLIPModel(config).eval()


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own tokenizer, with letters alone: no merges."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: number for number, name in enumerate(names)}, merges=[])


def save_clip(folder: Path) -> Path:
    tiny_clip().save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    processor = CLIPImageProcessor(size={"height": SIDE, "width": SIDE}, do_center_crop=False)
    processor.save_pretrained(folder)
    return folder
