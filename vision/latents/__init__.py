"""Autoencoders behind one call, and the cache of what they made."""

from vision.latents.autoencoder import decode, encode, latent_channels, spatial_factor, temporal_factor
from vision.latents.cache import LatentCache, autoencoder_identity

__all__ = [
    "LatentCache",
    "autoencoder_identity",
    "decode",
    "encode",
    "latent_channels",
    "spatial_factor",
    "temporal_factor",
]
