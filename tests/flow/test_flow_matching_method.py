"""Flow matching as a training method."""

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from train.methods.flow_matching import FlowMatching
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws
from vision.flow.shift import shift_time, unshift_time

SHAPE = (2, 1, 1, 1)  # C, F, H, W
NULL = {"prompt": torch.full((1, 3), -1.0)}


class LinearNetwork(nn.Module):
    """Velocity = A [x, t, prompt] + b."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2 + 1 + 3, 2)

    def forward(self, x: Tensor, t: Tensor, prompt: Tensor) -> Tensor:
        return self.linear(torch.cat([x.flatten(1), t[:, None], prompt], 1)).reshape(x.shape)


class LinearDenoiser(Denoiser):
    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        self.seen.append((x_t, t, condition["prompt"]))
        return self.network(x_t, t, condition["prompt"])

    def time_embedder(self) -> nn.Module:
        return self.network


def batch(size: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "latents": torch.randn(size, *SHAPE, generator=generator),
        "prompt": torch.rand(size, 3, generator=generator),
    }


def seen(size: int = 2000, draws: Draws | None = None, **options) -> tuple[Tensor, Tensor, Tensor]:
    denoiser = LinearDenoiser(LinearNetwork())
    method = FlowMatching(denoiser, null_condition=NULL, **options)
    method.losses(batch(size), draws or Draws(0, 0, 0, size))["model"]()
    return denoiser.seen[0]


def test_the_loss_is_the_formula():
    denoiser = LinearDenoiser(LinearNetwork())
    method = FlowMatching(denoiser, null_condition=NULL, shift=3.0, prompt_dropout=0.0)
    draws, data = Draws(3, 5, 0, 4), batch(4)
    loss = method.losses(data, draws)["model"]()
    total = 0.0
    for b in range(4):
        t = 3 * draws.uniform("time", 4)[b] / (1 + 2 * draws.uniform("time", 4)[b])
        x_0, noise = data["latents"][b], draws.normal("noise", (4, *SHAPE))[b]
        x_t = (1 - t) * x_0 + t * noise
        v = denoiser.network(x_t[None], t[None], data["prompt"][b : b + 1])[0]
        total += (v - (noise - x_0)).square().mean().item() / 4
    assert loss.value.item() == pytest.approx(total, rel=1e-5)
    assert loss.value.dtype == torch.float32 and loss.parts["loss_model"] == loss.value.detach()


@pytest.mark.parametrize(
    ("options", "law"),
    [
        ({}, stats.uniform().cdf),
        (
            {"time_law": "logit_normal", "mean": 0.3, "std": 0.8},
            lambda t: stats.norm(0.3, 0.8).cdf(stats.logistic.ppf(t)),
        ),
        ({"shift": 3.0}, lambda t: unshift_time(t, 3.0)),
    ],
)
def test_time_laws(options, law):
    assert stats.kstest(seen(**options)[1].numpy(), law).pvalue > 1e-3


def test_stratified_times_fill_every_bin_of_the_global_batch():
    halves = [seen(8, Draws(0, 0, first, 16), stratified=True, shift=3.0)[1] for first in (0, 8)]
    bins = (unshift_time(torch.cat(halves), 3.0) * 16).floor()
    assert torch.equal(bins.sort().values, torch.arange(16.0))
    assert shift_time(0.5, 3.0) == 0.75


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_prompts_are_dropped_whole_and_as_often_as_asked(share):
    prompt = seen(prompt_dropout=share)[2]
    dropped = (prompt == NULL["prompt"]).all(1)
    assert torch.equal(prompt[~dropped], batch(2000)["prompt"][~dropped])
    assert ((prompt == NULL["prompt"]).any(1) == dropped).all()
    if share in (0.0, 1.0):
        assert dropped.float().mean() == share
    else:
        assert stats.binomtest(int(dropped.sum()), 2000, share).pvalue > 1e-3


def test_a_null_condition_of_another_length_is_an_error():
    method = FlowMatching(LinearDenoiser(LinearNetwork()), null_condition={"prompt": torch.zeros(1, 4)})
    with pytest.raises(ValueError, match=r"'prompt' has shape \(2, 3\), the null condition's \(1, 4\)"):
        method.losses(batch(2), Draws(0, 0, 0, 2))["model"]()


def test_it_learns_a_gaussian():
    """Data N(m, s^2) of one prompt: the best velocity at t = 1/2 is linear with a known slope."""
    mean, std = 0.6, 0.2
    method = FlowMatching(LinearDenoiser(LinearNetwork()), null_condition=NULL, mean=0.0, std=0.01,
                          time_law="logit_normal", prompt_dropout=0.0)  # fmt: skip
    optimizer = torch.optim.Adam(method.networks["model"].parameters(), lr=0.03)
    generator = torch.Generator().manual_seed(0)
    for step in range(300):
        latents = mean + std * torch.randn(256, *SHAPE, generator=generator)
        optimizer.zero_grad()
        data = {"latents": latents, "prompt": torch.zeros(256, 3)}
        method.losses(data, Draws(0, step, 0, 256))["model"]().value.backward()
        optimizer.step()
    x = torch.tensor([-1.0, 0.0, 1.0])[:, None].expand(3, 2)
    t = torch.full((3,), 0.5)
    got = method.networks["model"](x.reshape(3, *SHAPE), t, torch.zeros(3, 3)).flatten(1)
    # v = E[e - x_0 | x_t], with cov(e - x_0, x_t) = (1 - s^2) / 2 and var(x_t) = (1 + s^2) / 4.
    expected = -mean + 2 * (1 - std**2) / (1 + std**2) * (x - mean / 2)
    torch.testing.assert_close(got, expected, atol=0.1, rtol=0)
