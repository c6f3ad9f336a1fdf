"""Autoencoders behind one call, and the cache of what they made."""

from vision.latents.autoencoder import decode, encode, latent_channels, spatial_factor, temporal_factor
from vision.latents.cache import LatentCache, autoencoder_identity
from vision.latents.decode_stream import DecodeStream
from vision.latents.loading import load_autoencoder
from vision.latents.tiny_video_autoencoder import TinyVideoAutoencoder

__all__ = [
    "DecodeStream",
    "LatentCache",
    "TinyVideoAutoencoder",
    "autoencoder_identity",
    "decode",
    "encode",
    "latent_channels",
    "load_autoencoder",
    "spatial_factor",
    "temporal_factor",
]
