"""Which parts make a try-on pipeline."""

from typing import Any

from vision.latents import latent_channels, spatial_factor, temporal_factor
from vision.transformer import GUIDER
from vision.tryon.reference import PADDINGS
from vision.tryon.segments import RATE
from vision.tryon.timing import Timing


def has_guider(transformer: Any) -> bool:
    """Whether a transformer reads hands and timed actions."""
    return "guide_latents" in getattr(transformer, "condition_names", ())


def splits_control(config: Any, vae: Any) -> bool:
    """Whether the context is encoded in two parts, as by VACE, by the channels that a transformer takes.

    Raises:
        ValueError: it takes neither as many channels as two parts have nor as one has.
    """
    channels, mask = latent_channels(vae), spatial_factor(vae) ** 2
    assert channels is not None
    found = config.get("vace_in_channels")
    if found not in (channels + mask, 2 * channels + mask):
        raise ValueError(
            f"the transformer has vace_in_channels={found}, but the context of this {type(vae).__name__} has "
            f"{2 * channels + mask} channels (or {channels + mask}, encoded at once); pair it with the "
            "autoencoder that it was trained with"
        )
    return found == 2 * channels + mask


def check_parts(transformer: Any, vae: Any, text_encoder: Any, timing: Timing, padding: str) -> None:
    """Checks that parts fit each other.

    Args:
        transformer: :class:`vision.transformer.VideoTransformer`.
        vae: video autoencoder.
        text_encoder: encoder of transformers, or None.
        timing: how captions are tied to their time.
        padding: of :func:`vision.tryon.reference.pad_reference`.

    Raises:
        ValueError: they do not.
    """
    config = transformer.config
    channels = latent_channels(vae)
    if channels is None or temporal_factor(vae) != RATE:
        raise ValueError(
            f"a try-on needs a video autoencoder with {RATE} frames a latent frame, found "
            f"{type(vae).__name__} with {temporal_factor(vae)}"
        )
    if not config.get("vace_layers"):
        raise ValueError(
            "the transformer has no context blocks, through which garment and pose come in; take a VACE "
            "model or add them (add_conditioning('vace', vace_layers=..., vace_in_channels=...)) and train it"
        )
    for name in ("in_channels", "out_channels"):
        if config[name] not in (None, channels):
            raise ValueError(
                f"the transformer has {name}={config[name]}, but the latents of this {type(vae).__name__} "
                f"have {channels} channels; pair it with the autoencoder that it was trained with"
            )
    if config.patch_size[0] != 1:
        raise ValueError(
            f"the transformer's patches span {config.patch_size[0]} latent frames, expected 1, since the "
            "garment's frame stands alone; use another transformer"
        )
    splits_control(config, vae)
    if padding not in PADDINGS:
        raise ValueError(f"reference_padding is {padding!r}; expected one of {PADDINGS}")
    spans = ((config.get("conditioning") or {}).get(GUIDER) or {}).get("spans", False)
    if has_guider(transformer) and (timing.kind == "concat_time") != spans:
        raise ValueError(
            f"the timing is {timing.kind!r} and the guider has spans={spans}; 'concat_time', and only it, "
            "needs them"
        )
    width = getattr(getattr(text_encoder, "config", None), "hidden_size", None)
    if width not in (None, config.text_dim):
        raise ValueError(
            f"the transformer takes prompt embeddings of width {config.text_dim} (text_dim), the text "
            f"encoder gives {width}; pair it with the one that it was trained with"
        )
