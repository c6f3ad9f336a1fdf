"""Prompt encoders behind one call."""

from vision.text.cache import PromptCache
from vision.text.encode import encode_prompts
from vision.text.encoder import load_text_encoder
from vision.text.identity import text_encoder_identity
from vision.text.prompt_file import read_prompts

__all__ = ["PromptCache", "encode_prompts", "load_text_encoder", "read_prompts", "text_encoder_identity"]
