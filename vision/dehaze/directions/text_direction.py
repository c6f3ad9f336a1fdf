"""The way from haze to clear as two prompts name it.

Legend: D features shared by pictures and texts.
"""

from typing import Any

import torch
import torch.nn.functional as F

from vision.dehaze.directions.clip_encoder import ClipEncoder

#: (haze, clear) of each domain; BiLaLoRA's, the clear one of the night being its day's.
PROMPTS = {
    "day": ("a photo with haze", "a clear photo"),
    "night": ("a photo with nighttime haze", "a clear photo"),
}


class TextDirection:
    """E_text(clear) - E_text(haze) in CLIP's space, each scaled to length 1 first.

    Args:
        encoder: CLIP with its text tower.
        tokenizer: of the same model.
        haze: prompt.
        clear: prompt.

    Raises:
        ValueError: the model has no text tower, a prompt is too long for it, or the prompts are the same.
    """

    def __init__(
        self,
        encoder: ClipEncoder,
        tokenizer: Any,
        haze: str = PROMPTS["day"][0],
        clear: str = PROMPTS["day"][1],
    ) -> None:
        model = encoder.model
        if not hasattr(model, "text_model") or not hasattr(model, "text_projection"):
            raise ValueError(
                f"{encoder.name} has no text tower, so prompts have no embeddings there; give a whole CLIP "
                "model, or a direction from pictures (SyntheticPairDirection, ExemplarDirection)"
            )
        if haze == clear:
            raise ValueError(f"the prompts of haze and of clear are both {haze!r}; they must differ")
        tokens = tokenizer([haze, clear], padding=True, return_tensors="pt")
        longest, limit = tokens["input_ids"].shape[1], model.config.text_config.max_position_embeddings
        if longest > limit:
            raise ValueError(f"a prompt has {longest} tokens, and {encoder.name} takes {limit}; shorten it")
        with torch.no_grad():
            tokens = tokens.to(model.device)
            read = model.text_model(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            ).pooler_output
            haze_feature, clear_feature = F.normalize(model.text_projection(read).float(), dim=-1)
        self.encoder = encoder
        self.vector = clear_feature - haze_feature
        self.name = f"TextDirection({encoder.name}: {haze!r} to {clear!r})"

    @classmethod
    def from_pretrained(cls, source: str, domain: str = "day") -> "TextDirection":
        """Loads a CLIP model, from a folder or the hub, and takes the prompts of a domain ("day", "night").

        Raises:
            ValueError: no such model or domain.
        """
        from vision.dehaze.directions.clip_files import load_clip

        if domain not in PROMPTS:
            raise ValueError(f"there are prompts for {', '.join(PROMPTS)}; found {domain!r}")
        return cls(*load_clip(source), *PROMPTS[domain])
