"""Latents of tiny random autoencoders of each class."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.autoencoders.vq_model import VQModel

from vision.latents import (
    LatentCache,
    TinyVideoAutoencoder,
    autoencoder_identity,
    decode,
    encode,
    latent_channels,
    spatial_factor,
    temporal_factor,
)

KINDS = ["none", "kl", "tiny", "wan", "own"]


def make_autoencoder(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "none":
        return None
    if kind == "kl":
        blocks: dict[str, Any] = {
            "block_out_channels": (8, 16),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
        }
        vae = AutoencoderKL(norm_num_groups=4, shift_factor=0.3, scaling_factor=0.7, **blocks)
    elif kind == "tiny":
        vae = AutoencoderTiny(
            encoder_block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8),
            num_encoder_blocks=(1, 1, 1), num_decoder_blocks=(1, 1, 1), scaling_factor=1.5, shift_factor=0.2,
        )  # fmt: skip
    elif kind == "own":
        vae = TinyVideoAutoencoder(latent_channels=4, widths=(8, 8), patch_size=2)
    else:
        vae = AutoencoderKLWan(
            base_dim=4, z_dim=4, dim_mult=[1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True],
            latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[2.0, 0.5, 1.0, 1.5],
        )  # fmt: skip
    return vae.eval()


def pixels(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_shapes_follow_the_factors(kind: str) -> None:
    vae = make_autoencoder(kind)
    space, time = spatial_factor(vae), temporal_factor(vae)
    video = pixels(2, 3, 2 * time + 1, 16, 8)
    latents = encode(vae, video)
    channels = latent_channels(vae) or 3
    assert latents.shape == (2, channels, 3, 16 // space, 8 // space)
    assert decode(vae, latents).shape == video.shape
    picture = encode(vae, video[:, :, 0])
    assert picture.shape == (2, channels, 1, 16 // space, 8 // space)
    assert picture.dtype == torch.float32
    # The first frame stands alone in each of them.
    torch.testing.assert_close(picture[:, :, 0], latents[:, :, 0], rtol=1e-4, atol=1e-5)


def test_pixel_space_is_the_identity() -> None:
    video = pixels(2, 1, 3, 4, 5)
    assert torch.equal(decode(None, encode(None, video)), video)
    assert spatial_factor(None) == 1
    assert latent_channels(None) is None


@pytest.mark.parametrize("kind", ["kl", "tiny", "wan"])
@torch.no_grad()
def test_scaling_is_that_of_the_configuration(kind: str) -> None:
    vae = make_autoencoder(kind)
    picture = pixels(2, 3, 8, 8)
    latents = encode(vae, picture)
    if kind == "wan":
        z = vae.encode(picture[:, :, None]).latent_dist.mode()
        mean, std = (torch.tensor(vae.config[f"latents_{name}"]).view(4, 1, 1, 1) for name in ("mean", "std"))
        expected = (z - mean) / std
        reconstruction = vae.decode(z).sample
    else:
        output = vae.encode(picture)
        z = output.latents if kind == "tiny" else output.latent_dist.mode()
        expected = ((z - vae.config["shift_factor"]) * vae.config["scaling_factor"])[:, :, None]
        reconstruction = vae.decode(z).sample[:, :, None]
    torch.testing.assert_close(latents, expected)
    torch.testing.assert_close(decode(vae, latents), reconstruction, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_autoencoder_keeps_its_type_under_autocast() -> None:
    vae = make_autoencoder("kl")
    expected = encode(vae, pixels(1, 3, 8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encode(vae, pixels(1, 3, 8, 8)), expected)
    low = encode(vae.bfloat16(), pixels(1, 3, 8, 8))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, expected, rtol=0.1, atol=0.1)


def test_wrong_sizes_are_errors() -> None:
    with pytest.raises(ValueError, match="that 2 divides; found 3 channels, 1 frames, 9 x 8"):
        encode(make_autoencoder("kl"), pixels(1, 3, 9, 8))
    with pytest.raises(ValueError, match=r"3 channels.*found 1 channels"):
        encode(make_autoencoder("tiny"), pixels(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"2n \+ 1 frames; found 3 channels, 4 frames"):
        encode(make_autoencoder("wan"), pixels(1, 3, 4, 8, 8))
    with pytest.raises(ValueError, match=r"found shape \(3, 8, 8\)"):
        encode(None, pixels(3, 8, 8))
    with pytest.raises(ValueError, match="VQModel is not an autoencoder known here"):
        encode(VQModel(block_out_channels=(32,)), pixels(1, 3, 8, 8))


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_computes_once(tmp_path: Path, kind: str) -> None:
    vae = make_autoencoder(kind)
    picture = torch.randint(
        0, 256, (3, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
    )
    calls = []
    for _ in range(2):
        cache = LatentCache(tmp_path, vae)
        path = cache.path("hash of the file", 3, 8, 8)
        latents = cache.encoded(path, lambda: calls.append(1) or picture)
        if kind == "none":
            assert torch.equal(latents, picture)
        else:
            with torch.no_grad():
                assert torch.equal(latents, encode(vae, picture[None].float() / 127.5 - 1)[0])
    assert len(calls) == 1
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=f"{path.name}.* anew"):
        assert torch.equal(cache.encoded(path, lambda: picture), latents)


def test_each_part_of_the_key_matters(tmp_path: Path) -> None:
    other = make_autoencoder("kl")
    next(other.parameters()).data[0] += 1e-3
    caches = [LatentCache(tmp_path, vae) for vae in (None, make_autoencoder("kl"), other)]
    paths = {cache.path("a", 3, 8, 8) for cache in caches}
    paths |= {caches[0].path("b", 3, 8, 8), caches[0].path("a", 1, 8, 8), caches[0].path("a", 3, 8, 16)}
    paths |= {caches[0].path("a", 3, 8, 8, 24.0), caches[0].path("a", 3, 8, 8, 16.0)}
    assert len(paths) == 8
    assert autoencoder_identity(make_autoencoder("kl")) == caches[1].identity


def test_a_swapped_file_is_noticed(tmp_path: Path) -> None:
    cache = LatentCache(tmp_path, None)
    a, b = cache.path("a", 1, 2, 2), cache.path("b", 1, 2, 2)
    for value, path in enumerate((a, b)):
        cache.encoded(path, lambda value=value: torch.full((1, 1, 2, 2), value, dtype=torch.uint8))
    a.write_bytes(b.read_bytes())
    with pytest.warns(UserWarning, match="other latents than its name says"):
        cache.encoded(a, lambda: torch.zeros(1, 1, 2, 2, dtype=torch.uint8))


@torch.no_grad()
def test_an_autoencoder_of_patches_takes_colour() -> None:
    """Wan 2.2's counts the channels of its patches: 12 of them are 2 x 2 pixels in colour."""
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1], num_res_blocks=1, temperal_downsample=[True, True],
        is_residual=True, in_channels=12, out_channels=12, patch_size=2,
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    ).eval()  # fmt: skip
    video = pixels(1, 3, 5, 16, 8)
    latents = encode(vae, video)
    assert latents.shape == (1, 4, 2, 2, 1) and spatial_factor(vae) == 8
    assert decode(vae, latents).shape == video.shape
    with pytest.raises(ValueError, match=r"takes pictures with 3 channels.*found 12"):
        encode(vae, pixels(1, 12, 5, 16, 8))
