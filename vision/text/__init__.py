"""Prompt encoders behind one call."""

from vision.text.cache import PromptCache
from vision.text.embeddings_file import EmbeddingsFile, write_embeddings
from vision.text.encode import encode_prompts
from vision.text.encoder import load_text_encoder
from vision.text.identity import text_encoder_identity
from vision.text.prompt_encoder import PromptEncoder
from vision.text.prompt_file import read_prompts
from vision.text.token_encoder import TokenEncoder

__all__ = [
    "EmbeddingsFile",
    "PromptCache",
    "PromptEncoder",
    "TokenEncoder",
    "encode_prompts",
    "load_text_encoder",
    "read_prompts",
    "text_encoder_identity",
    "write_embeddings",
]
