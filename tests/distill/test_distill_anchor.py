"""The anchor-aware fake score: a fresh embedding changes nothing, a trained one tells anchors apart."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from toy_denoisers import (
    SHAPE,
    TinyDenoiser,
    assert_all_close,
    cdm,
    embedding_of,
    gradients,
    prompts,
    tiny_denoiser,
    transformer_denoiser,
    transformer_prompts,
)

from vision.distill.anchor import ANCHOR_SIGMA, AnchorAwareDenoiser
from vision.flow.denoiser import Denoiser
from vision.flow.draws import Draws
from vision.transformer import VideoTransformer

DENOISERS = {
    "perceptron": (tiny_denoiser, prompts),
    "transformer": (transformer_denoiser, transformer_prompts),
}


def inputs(batch_size: int = 4):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch_size, *SHAPE, generator=generator)
    return x, torch.rand(batch_size, generator=generator), torch.rand(batch_size, generator=generator)


def randomise(denoiser: Denoiser) -> None:
    with torch.no_grad():
        for parameter in embedding_of(denoiser.network).parameters():
            parameter.normal_(std=0.1)


@pytest.mark.parametrize("kind", DENOISERS)
def test_a_fresh_embedding_leaves_the_bits(kind):
    make, condition_of = DENOISERS[kind]
    plain, aware = make(), AnchorAwareDenoiser(make())
    x, t, sigma = inputs()
    condition = condition_of(4)
    expected = plain.velocity(x, t, condition)
    assert torch.equal(aware.velocity(x, t, condition), expected)
    assert torch.equal(aware.velocity(x, t, {**condition, ANCHOR_SIGMA: sigma}), expected)


@pytest.mark.parametrize("kind", DENOISERS)
def test_keys_are_those_of_the_network_and_its_own(kind):
    make, _ = DENOISERS[kind]
    plain, aware = make(), AnchorAwareDenoiser(make())
    own = {"anchor_embedding.linear.weight", "anchor_embedding.linear.bias"}
    assert aware.network.state_dict().keys() == plain.network.state_dict().keys() | own
    aware.network.load_state_dict(aware.network.state_dict())


@pytest.mark.parametrize("kind", DENOISERS)
def test_a_trained_embedding_tells_the_anchors_of_each_sample_apart(kind):
    make, condition_of = DENOISERS[kind]
    aware = AnchorAwareDenoiser(make())
    randomise(aware)
    x, t, sigma = inputs()
    condition = condition_of(4)
    whole = aware.velocity(x, t, {**condition, ANCHOR_SIGMA: sigma})
    changed = sigma.clone()
    changed[1] = (sigma[1] + 0.5) % 1
    other = aware.velocity(x, t, {**condition, ANCHOR_SIGMA: changed})
    rows = (whole != other).flatten(1).any(1)
    assert rows.tolist() == [False, True, False, False]
    for i in range(4):
        single = {name: value[i : i + 1] for name, value in {**condition, ANCHOR_SIGMA: sigma}.items()}
        torch.testing.assert_close(aware.velocity(x[i : i + 1], t[i : i + 1], single), whole[i : i + 1])
    # A call that names no anchor is the plain network's again.
    plain = make()
    assert torch.equal(aware.velocity(x, t, condition), plain.velocity(x, t, condition))


def test_its_gradient_is_that_of_the_loss_also_with_recomputation():
    results = []
    for recompute in (False, True):
        aware = AnchorAwareDenoiser(transformer_denoiser())
        randomise(aware)
        assert isinstance(aware.network, VideoTransformer)
        aware.network.train()
        if recompute:
            aware.network.enable_gradient_checkpointing()
        x, t, sigma = inputs()
        aware.velocity(x, t, {**transformer_prompts(4), ANCHOR_SIGMA: sigma}).square().mean().backward()
        results.append(gradients(aware.network))
        assert all(gradient.abs().sum() > 0 for gradient in gradients(embedding_of(aware.network)))
    assert_all_close(*results)


def test_the_whole_network_may_be_recomputed():
    """The recomputed time embedding has the anchor of its own call."""
    aware = AnchorAwareDenoiser(tiny_denoiser())
    randomise(aware)
    x, t, sigma = inputs()
    condition = {**prompts(4), ANCHOR_SIGMA: sigma}
    results = []
    for recompute in (False, True):
        aware.network.zero_grad()
        if recompute:
            v = checkpoint(aware.velocity, x, t, condition, use_reentrant=False)
            assert isinstance(v, torch.Tensor)
        else:
            v = aware.velocity(x, t, condition)
        v.square().mean().backward()
        results.append(gradients(aware.network))
    assert_all_close(*results)


def test_a_copy_of_the_network_has_its_own_embedding():
    aware = AnchorAwareDenoiser(tiny_denoiser())
    randomise(aware)
    other = copy.deepcopy(aware)
    x, t, sigma = inputs()
    condition = {**prompts(4), ANCHOR_SIGMA: sigma}
    before = other.velocity(x, t, condition)
    assert torch.equal(before, aware.velocity(x, t, condition))
    with torch.no_grad():
        embedding_of(aware.network).linear.weight.zero_()
    assert torch.equal(other.velocity(x, t, condition), before)
    assert not torch.equal(aware.velocity(x, t, condition), before)


def test_a_second_embedding_or_an_unknown_width_is_an_error():
    denoiser = tiny_denoiser()
    AnchorAwareDenoiser(denoiser)
    with pytest.raises(ValueError, match="already"):
        AnchorAwareDenoiser(denoiser)

    class Sinusoidal(nn.Module):
        def forward(self, t):
            return t

    denoiser = tiny_denoiser()
    denoiser.network.time_embedder = Sinusoidal()
    with pytest.raises(ValueError, match=r"Sinusoidal has no linear layer.*pass width"):
        AnchorAwareDenoiser(denoiser)
    assert embedding_of(AnchorAwareDenoiser(denoiser, width=24).network).linear.out_features == 24


def test_the_method_tells_the_fake_alone_and_trains_the_embedding():
    method = cdm(anchor_aware=True)
    assert not hasattr(method.networks["student"], "anchor_embedding")
    assert not hasattr(method.frozen["teacher"], "anchor_embedding")
    condition, draws = prompts(6), Draws(7, 3, 0, 6)
    simulation = method._simulate(condition, draws)
    _, sigma = method._off_trajectory_input(simulation, draws)
    thunks = method.losses(condition, draws)
    embedding = embedding_of(method.networks["fake"])
    seen = []
    embedding.register_forward_hook(lambda module, arguments, output: seen.append(arguments[0]))
    thunks["fake"]().value.backward()
    assert all(gradient.abs().sum() > 0 for gradient in gradients(embedding))
    thunks["student"]()
    # The fake's own loss, DM at the anchor, CDM at x'.
    assert_all_close(seen, [simulation.anchor.sigma, simulation.anchor.sigma, sigma], rtol=0, atol=0)
    assert len(method._merged_parameters()) == len(list(method.networks["student"].parameters()))


def test_the_loop_may_replace_the_network():
    aware = AnchorAwareDenoiser(tiny_denoiser())
    inner = aware.network
    aware.network = nn.Sequential(inner)
    assert isinstance(aware._denoiser, TinyDenoiser) and aware._denoiser.network is aware.network
