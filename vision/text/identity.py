"""Which tokenizer and text encoder made an embedding."""

import json
from typing import Any

from vision.latents.identity import hash_json, network_identity


def text_encoder_identity(tokenizer: Any, text_encoder: Any) -> str:
    """Hash of everything that an embedding depends on besides the prompt and its cut.

    That is the encoder's class, configuration and weights, and the tokenizer's vocabulary and rules. Two
    folders with the same content have the same identity.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules: Any = sorted(tokenizer.get_vocab().items())
    if backend is not None:
        rules = json.loads(backend.to_str())
        # What the last call asked for, not a property of the tokenizer.
        rules.pop("truncation", None)
        rules.pop("padding", None)
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return hash_json([type(tokenizer).__name__, rules, special, network_identity(text_encoder)])
