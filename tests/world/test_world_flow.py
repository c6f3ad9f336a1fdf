"""Flow matching of a world: the clean first frame, the times, and the dropout of actions."""

from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from scipy import stats
from tiny_world import tiny_batch, tiny_world
from torch import Tensor, nn

from train.methods.world import WorldFlow
from vision.flow.denoiser import Condition
from vision.flow.draws import Draws
from vision.flow.schedules import linear_schedule
from vision.transformer import VideoTransformerDenoiser
from vision.world.loss_weight import loss_weight, training_times

PROMPT = torch.zeros(1, 1, 8)


class Watched(VideoTransformerDenoiser):
    """Keeps what the network was asked, and the gradient of what it said."""

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        self.asked, self.times, self.condition = x_t, t, condition
        self.said = super().velocity(x_t, t, condition)
        if self.said.requires_grad:
            self.said.retain_grad()
        return self.said


def watched(**options) -> tuple[WorldFlow, Watched]:
    network = tiny_world()
    if options.get("clean_past"):
        network.set_causal(options["chunk"])
    denoiser = Watched(network)
    return WorldFlow(denoiser, prompt=PROMPT, **options), denoiser


def null_of(network: nn.Module) -> Tensor:
    return network.get_parameter("condition_inputs.actions.null")


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_the_first_frame_is_given_and_not_learned(chunk):
    method, denoiser = watched(chunk=chunk)
    batch = tiny_batch()
    loss = method.losses(batch, Draws(0, 0, 0, 3))["model"]()
    loss.value.backward()
    assert torch.equal(denoiser.asked[:, :, 0], batch["latents"][:, :, 0])
    assert not denoiser.times[:, 0].any() and (denoiser.times[:, 1:] > 0).all()
    assert (denoiser.times[:, 1] == denoiser.times[:, 2]).all() == (chunk is None)
    assert denoiser.said.grad is not None
    assert not denoiser.said.grad[:, :, 0].any()
    assert denoiser.said.grad[:, :, 1:].abs().amax(dim=(1, 3, 4)).min() > 0


def test_each_chunk_sees_the_recorded_past():
    method, denoiser = watched(chunk=2, clean_past=True)
    batch = tiny_batch(6, 7)
    method.losses(batch, Draws(0, 0, 0, 6))["model"]().value.backward()
    assert torch.equal(denoiser.condition["past"], batch["latents"])
    # Frames 1, 2-3, 4-5 and 6 have a time each; all are learned.
    assert not denoiser.times[:, 0].any() and (denoiser.times[:, 1:] > 0).all()
    same = (denoiser.times.diff(dim=1) == 0).all(0).tolist()
    assert same == [False, False, True, False, True, False]
    assert denoiser.said.grad is not None
    assert denoiser.said.grad[:, :, 1:].abs().amax(dim=(1, 3, 4)).min() > 0


def test_the_past_can_hold_noise_that_the_network_is_not_told():
    clean, told = watched(chunk=1, clean_past=True)
    noisy, denoiser = watched(chunk=1, clean_past=True, past_noise=0.3)
    batch, draws = tiny_batch(30, 7), Draws(0, 0, 0, 30)
    for method in (clean, noisy):
        method.losses(batch, draws)["model"]()
    assert torch.equal(denoiser.times, told.times) and torch.equal(denoiser.asked, told.asked)
    x_0, noise = batch["latents"], draws.normal("past", batch["latents"].shape)
    past, direction = denoiser.condition["past"], noise - x_0
    dims = (1, 3, 4)
    level = ((past - x_0) * direction).sum(dims) / direction.square().sum(dims)  # (B, F)
    t = level[:, None, :, None, None]
    torch.testing.assert_close(past, (1 - t) * x_0 + t * noise, rtol=0, atol=1e-5)
    assert not level[:, 0].any()
    level = level[:, 1:]
    assert level.min() >= 0 and 0.27 < level.max() <= 0.3 and abs(level.mean() - 0.15) < 0.03


@pytest.mark.parametrize("target", ["velocity", "x0"])
@pytest.mark.parametrize("weighting", ["bell", "none"])
def test_the_loss_is_the_formula(target, weighting):
    method, denoiser = watched(loss=target, weighting=weighting)
    batch, draws = tiny_batch(), Draws(3, 5, 0, 3)
    loss = method.losses(batch, draws)["model"]()
    x_0, noise = batch["latents"], draws.normal("noise", batch["latents"].shape)
    total = 0.0
    for b in range(3):
        t = denoiser.times[b, 1]
        torch.testing.assert_close(
            denoiser.asked[b, :, 1:], (1 - t) * x_0[b, :, 1:] + t * noise[b, :, 1:], rtol=0, atol=1e-6
        )
        if target == "x0":
            error = denoiser.asked[b] - t * denoiser.said[b] - x_0[b]
        else:
            error = denoiser.said[b] - (noise[b] - x_0[b])
        weight = loss_weight(t) if weighting == "bell" else 1
        total += (weight * error[:, 1:].square().mean()).item() / 3
    assert loss.value.item() == pytest.approx(total, rel=1e-4)


def test_channels_count_by_their_weights():
    batch, draws = tiny_batch(), Draws(3, 5, 0, 3)
    count = batch["latents"].shape[1]
    losses = []
    for channel in range(count):
        weights = torch.zeros(count)
        weights[channel] = count
        method, denoiser = watched(channel_weights=weights)
        losses.append(method.losses(batch, draws)["model"]())
        losses[-1].value.backward()
        assert denoiser.said.grad is not None
        told = denoiser.said.grad.abs().amax(dim=(0, 2, 3, 4)) > 0
        assert told.nonzero().flatten().tolist() == [channel]
    plain = watched()[0].losses(batch, draws)["model"]()
    mean = sum(loss.value.item() for loss in losses) / count
    assert mean == pytest.approx(plain.value.item(), rel=1e-4)


def test_times_come_from_the_shifted_grid_or_the_logit_normal():
    grid = training_times()
    method, _ = watched(stratified=True)
    times = method.times(Draws(0, 0, 0, 1000), 1000, 3)
    # One draw in each of a thousand bins is each time of the grid once.
    assert torch.equal(times[:, 1].sort().values, grid.float())
    assert (times[:, 1] == times[:, 2]).all()
    method, _ = watched(time_law="logit_normal", mean=1.5, std=1.2, chunk=1)
    times = method.times(Draws(0, 0, 0, 2000), 2000, 3)
    law = stats.norm(1.5, 1.2).cdf
    for frame in (1, 2):
        assert stats.kstest(times[:, frame].numpy(), lambda t: law(stats.logistic.ppf(t))).pvalue > 1e-3
    assert torch.corrcoef(times[:, 1:].T)[0, 1].abs() < 0.1


def test_actions_are_dropped_whole_and_as_often_as_asked():
    method, denoiser = watched()
    count, dropped = 0, 0
    batch = {name: value.repeat(100, *[1] * (value.ndim - 1)) for name, value in tiny_batch(1, 2, 2).items()}
    with torch.no_grad():
        for step in range(100):
            method.losses(batch, Draws(0, step, 0, 100))["model"]()
            given = denoiser.condition["action_dropped"]
            count, dropped = count + len(given), dropped + int(given.sum())
    assert count == 10_000 and abs(dropped / count - 0.1) <= 0.01


def test_a_dropped_action_says_nothing_and_alone_teaches_the_null_action():
    batch, draws = tiny_batch(4), Draws(0, 0, 0, 4)
    other = {**batch, "sticks": -batch["sticks"], "buttons": 1 - batch["buttons"]}
    for share in (0.0, 1.0):
        method, denoiser = watched(action_dropout=share)
        network = method.networks["model"]
        method.losses(batch, draws)["model"]().value.backward()
        before, gradient = denoiser.said.detach(), null_of(network).grad
        assert gradient is not None  # the parameter takes part in every step
        assert bool(gradient.any()) == (share == 1.0)
        method.losses(other, draws)["model"]()
        assert torch.equal(denoiser.said, before) == (share == 1.0)


def test_each_sample_is_dropped_by_itself():
    method, denoiser = watched(action_dropout=0.5)
    batch, draws = tiny_batch(8), Draws(1, 0, 0, 8)
    method.losses(batch, draws)["model"]()
    before, dropped = denoiser.said.detach(), denoiser.condition["action_dropped"]
    assert dropped.any() and not dropped.all()
    for name in ("sticks", "buttons"):
        method.losses({**batch, name: 1 - batch[name]}, draws)["model"]()
        changed = (denoiser.said - before).abs().amax(dim=(1, 2, 3, 4)) > 0
        assert torch.equal(changed, ~dropped)


def test_clips_of_one_frame_or_without_actions_are_errors():
    method, _ = watched()
    with pytest.raises(ValueError, match=r"have 1 frame.*data\.frames"):
        method.losses(tiny_batch(2, 1), Draws(0, 0, 0, 2))["model"]()
    batch = tiny_batch()
    del batch["buttons"]
    with pytest.raises(ValueError, match="no buttons"):
        method.losses(batch, Draws(0, 0, 0, 3))["model"]()


def test_the_sampler_walks_scopes_thirty_steps():
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.set_timesteps(sigmas=linear_schedule(30)[:-1])
    sigmas = scheduler.sigmas.tolist()
    assert len(sigmas) == 31
    assert [round(sigma, 4) for sigma in sigmas[:5]] == [1.0, 0.9932, 0.9859, 0.9783, 0.9701]
    assert [round(sigma, 4) for sigma in sigmas[-4:]] == [0.3571, 0.2632, 0.1471, 0.0]
    x_0, noise = torch.randn(2, 50)
    x_t = noise
    for timestep in scheduler.timesteps:
        x_t = scheduler.step(noise - x_0, timestep, x_t, return_dict=False)[0]
    torch.testing.assert_close(x_t, x_0, rtol=0, atol=1e-5)
    assert loss_weight(training_times()).mean().item() == pytest.approx(1, abs=1e-5)
    assert loss_weight(torch.tensor(0.5)).item() == pytest.approx(2.076, abs=1e-3)
