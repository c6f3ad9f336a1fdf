"""One iteration of the method by the paper's formulas, and what its tests share."""

from typing import Any

import torch
from torch import Tensor
from toy_denoisers import SHAPE, TinyDenoiser, assert_all_close, gradients, prompts, renoise

from train.methods.cdm import CDM
from vision.flow.draws import Draws

BATCH = 6
STUDENT_STEP = 3  # the student is due in iterations 1, 3, 5, ...
WEIGHTS = ("weight_guidance", "weight_matching", "weight_off_trajectory")


def draws(step: int = STUDENT_STEP) -> Draws:
    return Draws(7, step, 0, BATCH)


def only(weight: str) -> dict[str, Any]:
    return {name: float(name == weight) for name in WEIGHTS}


def student_gradient(method: CDM, step: int = STUDENT_STEP) -> list[Tensor]:
    """Gradient of the student's loss in one iteration, the fake score not trained."""
    student = method.networks["student"]
    student.zero_grad()
    method.losses(prompts(BATCH), draws(step))["student"]().value.backward()
    return gradients(student)


def recorded(method: CDM, name: str) -> TinyDenoiser:
    denoiser = getattr(method, name)
    assert isinstance(denoiser, TinyDenoiser)
    return denoiser


class ReferenceIteration:
    """One iteration by the paper's formulas, sample by sample, written without the house's functions."""

    def __init__(self, method: CDM, grid: list[float], step: int = STUDENT_STEP) -> None:
        self.method, self.grid = method, grid
        self.condition = prompts(BATCH)["prompt"]
        d = self.draws = draws(step)
        self.index = d.integers("anchor", BATCH, len(grid)).tolist()
        x = d.normal("rollout noise", (BATCH, *SHAPE))
        xs, vs = [], []
        for sigma, following in zip(grid, [*grid[1:], 0.0], strict=True):
            v = self.call("student", x, torch.full((BATCH,), sigma)).detach()
            xs.append(x)
            vs.append(v)
            x = x + (following - sigma) * v
        self.x = torch.stack([xs[i][b] for b, i in enumerate(self.index)])
        self.v = torch.stack([vs[i][b] for b, i in enumerate(self.index)])
        self.sigma = torch.tensor([grid[i] for i in self.index])

    def call(self, name: str, x: Tensor, t: Tensor, prompt: Tensor | None = None) -> Tensor:
        networks = {**self.method.networks, **self.method.frozen}
        return networks[name](x, 1000 * t, self.condition if prompt is None else prompt)

    def predict(self, name: str, x: Tensor, t: Tensor, prompt: Tensor | None = None) -> Tensor:
        return torch.stack([x[b] - t[b] * v for b, v in enumerate(self.call(name, x, t, prompt))])

    def time(self, purpose: str) -> Tensor:
        return self.draws.uniform(f"{purpose} time", BATCH)

    def noised(self, x0: Tensor, purpose: str, t: Tensor) -> Tensor:
        return renoise(x0, self.draws.normal(purpose, x0.shape), t)

    def push(self, x0: Tensor, direction: Tensor, real: Tensor) -> Tensor:
        total = torch.zeros(())
        for b in range(BATCH):
            w = max((real[b] - x0[b]).abs().mean().item(), 0.1)
            total = total + (x0[b] - (x0[b] + direction[b] / w).detach()).square().mean()
        return total / BATCH

    def guidance(self, scale: float = 7.0) -> Tensor:
        x0 = self.predict("student", self.x, self.sigma)
        tau = (self.time("guidance") * self.sigma).clamp(0.02, 0.98)
        z = self.noised(x0.detach(), "guidance", tau)
        cond = self.predict("teacher", z, tau)
        uncond = self.predict("teacher", z, tau, torch.zeros_like(self.condition))
        return self.push(x0, scale * (cond - uncond), cond)

    def matching(self, x: Tensor, sigma: Tensor, purpose: str) -> Tensor:
        x0 = self.predict("student", x, sigma)
        tau = self.time(purpose).clamp(0.02, 0.98)
        z = self.noised(x0.detach(), purpose, tau)
        real = self.predict("teacher", z, tau)
        return self.push(x0, real - self.predict("fake", z, tau), real)

    def off_trajectory(self) -> Tensor:
        s = self.time("off-trajectory input").clamp(0.02, 0.98)
        x = torch.stack([self.x[b] + (s[b] - self.sigma[b]) * self.v[b] for b in range(BATCH)])
        return self.matching(x, s, "off-trajectory teacher")

    def fake(self) -> Tensor:
        y = torch.stack([self.x[b] - self.sigma[b] * self.v[b] for b in range(BATCH)])
        t = self.time("fake").clamp(0.02, 0.98)
        noise = self.draws.normal("fake", y.shape)
        return (self.call("fake", renoise(y, noise, t), t) - (noise - y)).square().mean()


def compare(method: CDM, name: str, expected: Tensor) -> None:
    loss = method.losses(prompts(BATCH), draws())[name]().value
    network = method.networks[name]
    parameters = list(network.parameters())
    torch.testing.assert_close(loss, expected)
    assert_all_close(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), rtol=1e-4, atol=1e-6
    )
