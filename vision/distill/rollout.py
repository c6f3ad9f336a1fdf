"""The student's own trajectory, from noise towards data (backward simulation).

Legend: B batch; ``...`` the latent's further dimensions; N steps of the schedule, K of them walked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vision.flow.denoiser import Condition, Denoiser
from vision.flow.evaluating import evaluating
from vision.flow.path import x0_from_velocity
from vision.flow.solver import EulerStep, euler_solve


@dataclass(frozen=True)
class Anchor:
    """One point of the rollout for each sample.

    Attributes:
        x: latents x_i, shape (B, ...).
        velocity: the student's velocity v_i at (x_i, sigma_i).
        sigma: sigma_i, shape (B,), after the shift.
    """

    x: Tensor
    velocity: Tensor
    sigma: Tensor

    @property
    def x0(self) -> Tensor:
        """What the student predicted there: ``x_i - sigma_i v_i``."""
        return x0_from_velocity(self.x, self.velocity, self.sigma)


@dataclass(frozen=True)
class Rollout:
    """A trajectory, K of N steps long. Index i is the same point everywhere.

    Attributes:
        sigmas: the whole schedule after the shift, shape (N + 1,), from 1 down to 0.
        states: x_0 ... x_K by index, each (B, ...): ``states[0]`` is the noise, ``states[K]`` is where
            the rollout stopped.
        velocities: ``velocities[i]`` is the student's answer at (``states[i]``, ``sigmas[i]``); K of them.
    """

    sigmas: Tensor
    states: list[Tensor]
    velocities: list[Tensor]

    def x0(self, index: int) -> Tensor:
        """The student's prediction at point ``index``."""
        return x0_from_velocity(self.states[index], self.velocities[index], float(self.sigmas[index]))

    @property
    def final(self) -> Tensor:
        """The sample at the end of the schedule.

        Raises:
            ValueError: when the rollout stopped before.
        """
        if len(self.velocities) != len(self.sigmas) - 1:
            raise ValueError(
                f"the rollout stopped after {len(self.velocities)} of {len(self.sigmas) - 1} steps; "
                "run all of them for its final latents"
            )
        return self.states[-1]

    def anchor(self, index: Tensor) -> Anchor:
        """The points with an index for each sample, int64, shape (B,), each below K."""
        index = index.to(self.sigmas.device)
        x, velocity = torch.empty_like(self.states[0]), torch.empty_like(self.states[0])
        for i, v in enumerate(self.velocities):
            here = index == i
            x[here], velocity[here] = self.states[i][here], v[here]
        return Anchor(x, velocity, self.sigmas[index])


def roll_out(
    student: Denoiser,
    noise: Tensor,
    condition: Condition,
    sigmas: Sequence[float],
    num_steps: int | None = None,
) -> Rollout:
    """Walks the student along a schedule without gradients and in evaluation mode.

    Args:
        student: the network being distilled.
        noise: latents at ``sigmas[0] = 1``, float32, shape (B, ...).
        condition: the prompts of the batch.
        sigmas: N + 1 falling times after the shift, the last 0.
        num_steps: K, where to stop: one more than the last anchor needed; N by default.
    """
    states, velocities = [noise], []

    def record(step: EulerStep) -> None:
        states.append(step.x_next)
        velocities.append(step.velocity)

    with evaluating(student.network):
        euler_solve(
            lambda x, t: student.velocity(x, t, condition),
            noise,
            sigmas,
            callback=record,
            num_steps=num_steps,
        )
    return Rollout(torch.tensor(sigmas, dtype=noise.dtype, device=noise.device), states, velocities)
