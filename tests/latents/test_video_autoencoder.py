"""The causal video autoencoder: Wan's timing, causality, and decoding latent by latent."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.latents import (
    DecodeStream,
    TinyVideoAutoencoder,
    decode,
    encode,
    latent_channels,
    load_autoencoder,
    spatial_factor,
    temporal_factor,
)
from vision.latents.causal_stack import CausalBlock
from vision.latents.cosine_basis import cosine_basis


def make_autoencoder(**changes) -> TinyVideoAutoencoder:
    """A tiny one whose blocks all do something; fresh ones are the identity."""
    torch.manual_seed(3)
    options = {"latent_channels": 3, "widths": (8, 12), "patch_size": 2, **changes}
    vae = TinyVideoAutoencoder(**options)
    for module in vae.modules():
        if isinstance(module, CausalBlock):
            torch.nn.init.normal_(module.leave.weight, std=0.1)
    for stack in (vae.encoder, vae.decoder):
        torch.nn.init.normal_(stack.leave.weight, std=0.1)
    return vae.eval()


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


VAE = make_autoencoder(latents_mean=[0.2, -0.1, 0.4], latents_std=[2.0, 0.5, 1.5])


@torch.no_grad()
def streamed(vae, latents: torch.Tensor) -> torch.Tensor:
    stream = DecodeStream(vae)
    return torch.cat([stream(frame) for frame in latents.split(1, 2)], 2)


def test_its_timing_is_wans():
    wan = AutoencoderKLWan(base_dim=4, z_dim=4, dim_mult=[1, 1, 1], temperal_downsample=[True, True],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4).eval()  # fmt: skip
    video = noise(1, 3, 9, 8, 8).clamp(-1, 1)
    with torch.no_grad():
        theirs, ours = encode(wan, video), encode(VAE, video)
    assert ours.shape[2:] == theirs.shape[2:] == (3, 2, 2)
    assert temporal_factor(wan) == temporal_factor(VAE) == 4
    assert spatial_factor(wan) == spatial_factor(VAE) == 4
    assert spatial_factor(make_autoencoder(patch_size=4)) == 8
    assert latent_channels(VAE) == 3


@given(length=st.integers(1, 5), batch_size=st.integers(1, 2), side=st.integers(1, 3), seed=st.integers(0, 9))
@settings(max_examples=15)
def test_latent_by_latent_is_all_at_once(length: int, batch_size: int, side: int, seed: int):
    latents = noise(batch_size, 3, length, side, 2, seed=seed)
    with torch.no_grad():
        whole = decode(VAE, latents)
    assert whole.shape == (batch_size, 3, 4 * length - 3, 4 * side, 8)
    torch.testing.assert_close(streamed(VAE, latents), whole, rtol=1e-5, atol=1e-5)


@given(changed=st.integers(0, 4), seed=st.integers(0, 9))
@settings(max_examples=15)
@torch.no_grad()
def test_no_frame_depends_on_what_comes_later(changed: int, seed: int):
    latents = noise(1, 3, 5, 2, 2, seed=seed)
    other = latents.clone()
    other[:, :, changed] += 1
    difference = (decode(VAE, latents) - decode(VAE, other)).abs().amax((0, 1, 3, 4))
    first = 0 if changed == 0 else 4 * changed - 3
    torch.testing.assert_close(difference[:first], torch.zeros(first), rtol=0, atol=1e-6)
    assert (difference[first : 4 * changed + 1] > 1e-4).all()

    video = noise(1, 3, 17, 8, 8, seed=seed)
    later = video.clone()
    later[:, :, first] += 1
    difference = (encode(VAE, video) - encode(VAE, later)).abs().amax((0, 1, 3, 4))
    torch.testing.assert_close(difference[:changed], torch.zeros(changed), rtol=0, atol=1e-6)
    assert difference[changed] > 1e-4


@torch.no_grad()
def test_blocks_remember_the_frame_before():
    """Without memory a latent is the first of a video, which has one frame."""
    latents = noise(1, 3, 2, 2, 2)
    alone, memory = VAE.decode_next(latents[:, :, :1], None)
    followed, _ = VAE.decode_next(latents[:, :, 1:], memory)
    forgotten, _ = VAE.decode_next(latents[:, :, 1:], None)
    assert (alone.shape[2], followed.shape[2], forgotten.shape[2]) == (1, 4, 1)
    assert not torch.allclose(followed[:, :, -1:], forgotten, atol=1e-4)


@torch.no_grad()
def test_a_fresh_one_keeps_the_lowest_frequencies():
    """Its latents are coordinates in an orthonormal basis: encoding what it decodes changes nothing."""
    basis = cosine_basis(20, 4, 3, 4)
    torch.testing.assert_close(basis @ basis.T, torch.eye(20), rtol=0, atol=1e-5)
    vae = TinyVideoAutoencoder(latent_channels=20, widths=(8, 12), patch_size=2)
    video = noise(1, 3, 5, 8, 8)
    once = decode(vae, encode(vae, video))
    torch.testing.assert_close(encode(vae, once)[:, :, 1], encode(vae, video)[:, :, 1], rtol=1e-3, atol=1e-4)
    even = noise(1, 3, 1, 1, 1).expand(1, 3, 5, 8, 8)
    torch.testing.assert_close(decode(vae, encode(vae, even)), even, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="13 latent channels for blocks of 12 numbers"):
        TinyVideoAutoencoder(latent_channels=13, widths=(8,), patch_size=1)


def test_a_fresh_block_is_the_identity():
    x = noise(6, 8, 4, 4)
    value, last = CausalBlock(8)(x, 2, None)
    assert torch.equal(value, x)
    torch.testing.assert_close(last.square().mean(1), torch.ones(2, 4, 4), rtol=1e-4, atol=0)


@torch.no_grad()
def test_scaling_is_that_of_the_configuration():
    plain = make_autoencoder()
    video = noise(2, 3, 5, 8, 8)
    latents = encode(plain, video)
    torch.testing.assert_close(latents, plain.encode(video).latent_dist.mode())
    mean, std = (torch.tensor(VAE.config[f"latents_{name}"]).view(3, 1, 1, 1) for name in ("mean", "std"))
    torch.testing.assert_close(encode(VAE, video), (latents - mean) / std)
    torch.testing.assert_close(decode(VAE, encode(VAE, video)), decode(plain, latents), rtol=1e-4, atol=1e-5)
    tuples = VAE.decode(VAE.encode(video, return_dict=False)[0].mode(), return_dict=False)
    assert tuples[0].shape == video.shape
    with pytest.raises(ValueError, match="latents_std has 2 values for 3 latent channels"):
        make_autoencoder(latents_std=[1.0, 1.0])


def test_training_decodes_a_draw_from_the_posterior():
    video = noise(2, 3, 5, 8, 8)
    posterior = VAE.encode(video).latent_dist
    e = noise(*posterior.mean.shape, seed=5)
    pixels, mean, log_variance = VAE(video, e)
    torch.testing.assert_close(pixels, VAE.decode(mean + (0.5 * log_variance).exp() * e).sample)
    assert torch.equal(mean, posterior.mean)


def test_it_loads_where_every_autoencoder_loads(tmp_path: Path):
    VAE.save_pretrained(tmp_path / "own")
    found = load_autoencoder(tmp_path / "own")
    assert isinstance(found, TinyVideoAutoencoder) and found.config["latents_mean"] == [0.2, -0.1, 0.4]
    latents = noise(1, 3, 2, 2, 2)
    with torch.no_grad():
        assert torch.equal(decode(found, latents), decode(VAE, latents))
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    ).save_pretrained(tmp_path / "theirs")  # fmt: skip
    assert isinstance(load_autoencoder(tmp_path / "theirs"), AutoencoderTiny)
    (tmp_path / "own" / "config.json").write_text(
        (tmp_path / "own" / "config.json").read_text().replace('"num_blocks": 2', '"num_blocks": 3')
    )
    with pytest.raises(ValueError, match="are not those of the TinyVideoAutoencoder"):
        load_autoencoder(tmp_path / "own")


@torch.no_grad()
def test_pictures_and_pixels_stream_by_themselves():
    blocks: dict[str, Any] = {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    }
    picture = AutoencoderKL(norm_num_groups=4, **blocks).eval()
    for vae, channels in ((picture, 4), (None, 3)):
        latents = noise(1, channels, 3, 4, 4)
        torch.testing.assert_close(streamed(vae, latents), decode(vae, latents), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_what_cannot_be_streamed_says_so():
    wan = AutoencoderKLWan(base_dim=4, z_dim=4, dim_mult=[1, 1, 1], temperal_downsample=[True, True])
    with pytest.raises(ValueError, match="AutoencoderKLWan decodes whole videos only; expected TinyVideo"):
        DecodeStream(wan)
    with pytest.raises(ValueError, match="Linear is not an autoencoder known here"):
        DecodeStream(torch.nn.Linear(1, 1))
    stream = DecodeStream(VAE)
    with pytest.raises(ValueError, match=r"one latent frame of shape .* found \(1, 3, 2, 2, 2\)"):
        stream(noise(1, 3, 2, 2, 2))
    first = stream(noise(1, 3, 1, 2, 2))
    with pytest.raises(ValueError, match=r"\(1, 3, 1, 2, 2\) \(or restart\(\)\); found \(2, 3, 1, 2, 2\)"):
        stream(noise(2, 3, 1, 2, 2))
    stream.restart()
    assert stream(noise(2, 3, 1, 2, 2)).shape == (2, *first.shape[1:])
    with pytest.raises(ValueError, match=r"4n \+ 1 frames; found 3 channels, 4 frames"):
        encode(VAE, noise(1, 3, 4, 8, 8))
    with pytest.raises(ValueError, match=r"expected 4n \+ 1 frames, found 4"):
        VAE.encode(noise(1, 3, 4, 8, 8))
    with pytest.raises(ValueError, match="that 4 divides"):
        encode(VAE, noise(1, 3, 1, 8, 6))
