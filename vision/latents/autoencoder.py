"""Pixels to latents and back, whatever the autoencoder.

Legend: B batch, C channels, F frames, H height, W width; c, f, h, w the same of the latents.
"""

from typing import Any

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.utils.torch_utils import get_module_execution_device
from torch import Tensor, autocast

from vision.latents.tiny_video_autoencoder import GROUP, TinyVideoAutoencoder

_VIDEO_CLASSES = (AutoencoderKLWan, TinyVideoAutoencoder)
#: What is taken for ``vae``, besides None.
CLASSES = (AutoencoderKL, AutoencoderTiny, *_VIDEO_CLASSES)


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Latents, scaled to about unit variance as the autoencoder's configuration says.

    ``(z - shift_factor) * scaling_factor`` for picture autoencoders and ``(z - latents_mean) / latents_std``
    for those of videos, z being the mode of the posterior: the same pixels always give the same latents.

    Args:
        vae: diffusers' ``AutoencoderKL``, ``AutoencoderTiny`` or ``AutoencoderKLWan``,
            :class:`vision.latents.TinyVideoAutoencoder`, or None.
        pixels: in [-1, 1], shape (B, C, H, W) or (B, C, F, H, W). Picture autoencoders take each frame by
            itself; those of videos take frames in groups and need F = 4n + 1.

    Returns:
        float32 of shape (B, c, f, h, w).

    Raises:
        ValueError: sizes that the autoencoder cannot take, or another class of autoencoder.
    """
    if pixels.ndim == 4:
        pixels = pixels[:, :, None]
    if pixels.ndim != 5:
        raise ValueError(
            f"expected pixels (B, C, H, W) or (B, C, F, H, W), found shape {tuple(pixels.shape)}"
        )
    if vae is None:
        return pixels.float()
    _check_sizes(vae, pixels)
    pixels = pixels.to(get_module_execution_device(vae), vae.dtype)
    with autocast(pixels.device.type, enabled=False):
        if _is_video(vae):
            z = vae.encode(pixels).latent_dist.mode().float()  # (B, c, f, h, w)
            mean, std = _statistics(vae, z)
            return (z - mean) / std
        batch_size = len(pixels)
        output: Any = vae.encode(_frames_to_batch(pixels))
        z = output.latents if _is_tiny(vae) else output.latent_dist.mode()  # (B F, c, h, w)
    shift = vae.config["shift_factor"] or 0.0
    return _batch_to_frames((z.float() - shift) * vae.config["scaling_factor"], batch_size)


def decode(vae: Any, latents: Tensor) -> Tensor:
    """Pixels of latents; the inverse of :func:`encode` up to what the autoencoder loses.

    Args:
        vae: as for :func:`encode`.
        latents: shape (B, c, f, h, w).

    Returns:
        float32 of shape (B, C, F, H, W), about [-1, 1] (not clamped).
    """
    if latents.ndim != 5:
        raise ValueError(f"expected latents of shape (B, C, F, H, W), found {tuple(latents.shape)}")
    if vae is None:
        return latents.float()
    z = unscaled(vae, latents)
    with autocast(z.device.type, enabled=False):
        if _is_video(vae):
            return vae.decode(z).sample.float()
        pixels = vae.decode(_frames_to_batch(z)).sample  # (B F, C, H, W)
    return _batch_to_frames(pixels.float(), len(latents))


def unscaled(vae: Any, latents: Tensor) -> Tensor:
    """What the autoencoder itself takes for latents of :func:`encode`, on its device and in its type."""
    _check_class(vae)
    latents = latents.to(get_module_execution_device(vae)).float()
    if _is_video(vae):
        mean, std = _statistics(vae, latents)
        return (latents * std + mean).to(vae.dtype)
    z = latents / vae.config["scaling_factor"] + (vae.config["shift_factor"] or 0.0)
    return z.to(vae.dtype)


def unknown_class(name: str) -> str:
    """Says that a class is none of those that are taken."""
    expected = " or ".join(known.__name__ for known in CLASSES)
    return f"{name} is not an autoencoder known here; expected {expected}"


def latent_channels(vae: Any) -> int | None:
    """Channels of the latents; None in pixel space, where they are those of the pictures."""
    if vae is None:
        return None
    _check_class(vae)
    return vae.config["z_dim" if _is_wan(vae) else "latent_channels"]


def spatial_factor(vae: Any) -> int:
    """Pixels of a picture's side to one of the latent's; 1 in pixel space."""
    if vae is None:
        return 1
    _check_class(vae)
    if isinstance(vae, TinyVideoAutoencoder):
        return vae.spatial_factor
    if _is_wan(vae):
        return 2 ** len(vae.config["temperal_downsample"]) * (vae.config["patch_size"] or 1)
    widths = "encoder_block_out_channels" if _is_tiny(vae) else "block_out_channels"
    return 2 ** (len(vae.config[widths]) - 1)


def temporal_factor(vae: Any) -> int:
    """Frames to one frame of the latent, after the first; 1 for autoencoders of pictures."""
    if vae is None:
        return 1
    _check_class(vae)
    if isinstance(vae, TinyVideoAutoencoder):
        return GROUP
    if _is_wan(vae):
        return 2 ** sum(vae.config["temperal_downsample"])
    return 1


def _is_wan(vae: Any) -> bool:
    return isinstance(vae, AutoencoderKLWan)


def _is_video(vae: Any) -> bool:
    return isinstance(vae, _VIDEO_CLASSES)


def _is_tiny(vae: Any) -> bool:
    return isinstance(vae, AutoencoderTiny)


def _check_class(vae: Any) -> None:
    if not isinstance(vae, CLASSES):
        raise ValueError(f"{unknown_class(type(vae).__name__)}, or None for pixel space")


def _check_sizes(vae: Any, pixels: Tensor) -> None:
    space, time = spatial_factor(vae), temporal_factor(vae)
    channels, frames, height, width = pixels.shape[1:]
    wanted = vae.config["in_channels"]
    if _is_wan(vae):  # Wan 2.2's counts the channels of its patches of pixels
        wanted //= (vae.config["patch_size"] or 1) ** 2
    if channels != wanted or height % space or width % space or (frames - 1) % time:
        expected = f"{wanted} channels, height and width that {space} divides"
        if time > 1:
            expected += f", and {time}n + 1 frames"
        raise ValueError(
            f"{type(vae).__name__} takes pictures with {expected}; found {channels} channels, "
            f"{frames} frames, {height} x {width}"
        )


def _statistics(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each latent channel, shape (c, 1, 1, 1); 0 and 1 where none are known."""
    unknown = {"latents_mean": [0.0] * like.shape[1], "latents_std": [1.0] * like.shape[1]}
    mean, std = (
        like.new_tensor(vae.config[name] or value)[:, None, None, None] for name, value in unknown.items()
    )
    return mean, std


def _frames_to_batch(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(0, 1)  # (B, C, F, H, W) -> (B F, C, H, W)


def _batch_to_frames(x: Tensor, batch_size: int) -> Tensor:
    return x.unflatten(0, (batch_size, -1)).transpose(1, 2)  # (B F, C, H, W) -> (B, C, F, H, W)
