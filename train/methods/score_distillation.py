"""Distillation by matching the scores of teacher and student (DMD, Yin et al. 2023): what its methods share.

Legend: B batch; C, F, H, W channels, frames, height and width of the latents; N steps of a rollout.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from train.methods.method import Loss, Method
from train.methods.rollouts import Rollouts
from train.recipes.score_settings import ScoreSettings
from train.sharding import local
from vision.distill.anchor import ANCHOR_SIGMA, AnchorAwareDenoiser
from vision.distill.losses import distribution_matching_loss, guidance_loss
from vision.distill.rollout import Anchor, Rollout
from vision.flow.denoiser import Condition, Denoiser, concatenate_conditions, expand_condition
from vision.flow.draws import Draws
from vision.flow.evaluating import evaluating
from vision.flow.path import expand_time, interpolate, velocity_from_endpoints, x0_from_velocity
from vision.flow.schedules import shifted_schedule
from vision.flow.shift import TimeShift
from vision.flow.time_laws import TimeLaw, draw_times

S = TypeVar("S", bound=ScoreSettings)


@dataclass(frozen=True)
class Simulation:
    """What fake score and student share in one iteration.

    Attributes:
        rollout: the student's own trajectory, as far as it was walked.
        anchor: the rollout's point that the losses use, one a sample.
        condition: what all networks are conditioned on.
    """

    rollout: Rollout
    anchor: Anchor
    condition: Condition


class ScoreDistillation(Method, Generic[S]):
    """Networks ``"fake"`` and ``"student"``, frozen ``"teacher"``; needs prompts, no pictures.

    In each iteration the student is rolled out along a grid, without gradients, and each sample gets an
    anchor i on it. The fake score is trained on the student's predictions there and then moved a little
    towards the student. In each ``student_every``-th iteration the student follows the loss of the
    subclass.

    A batch holds what its rollouts want of it: by default what the networks are conditioned on, batch first.

    Args:
        student: the network that is distilled, initialised from the teacher: whole, or frozen with a
            trained adapter.
        fake: the fake score, initialised as the student and trained as it is (whole or adapter). With
            ``settings.anchor_aware`` its network gets an embedding of the anchor's sigma, in place.
        teacher: the many-step network; it is frozen here.
        settings: the method's options.
        null_condition: condition of the empty prompt for one sample: shapes (1, ...). Names that it leaves
            out keep the batch's value.
        latent_shape: (C, F, H, W).
        shift: time shift of the rollout, the teacher's scheduler's; ``settings.shift`` has precedence.
        rollouts: what makes samples of a batch; None takes a prompt for each.

    Raises:
        ValueError: when no trained parameter of the fake score has the name of one of the student's, so
            that it could not follow the student.
    """

    def __init__(
        self,
        student: Denoiser,
        fake: Denoiser,
        teacher: Denoiser,
        *,
        settings: S,
        null_condition: Condition,
        latent_shape: tuple[int, int, int, int],
        shift: TimeShift | float = 1.0,
        rollouts: Rollouts | None = None,
    ) -> None:
        if settings.anchor_aware:
            fake = AnchorAwareDenoiser(fake)
        teacher.network.requires_grad_(False).eval()
        super().__init__(
            networks={"fake": fake.network, "student": student.network},
            frozen={"teacher": teacher.network},
            every={"fake": 1, "student": settings.student_every},
        )
        self._denoisers = {"student": student, "fake": fake, "teacher": teacher}
        self._settings = settings
        self._null_condition = null_condition
        self._latent_shape = latent_shape
        self._shift = shift if settings.shift is None else settings.shift
        self._rollouts = rollouts or Rollouts()
        if settings.fake_merge < 1 and not self._merged_parameters():
            raise ValueError(
                "no trained parameter of the fake score has the name of a trained one of the student; "
                "expected both whole or both with the same adapter (or set fake_merge to 1)"
            )

    @property
    def student(self) -> Denoiser:
        """The student with the network that the loop trains."""
        return self._current("student", self.networks)

    @property
    def fake(self) -> Denoiser:
        """The fake score with the network that the loop trains."""
        return self._current("fake", self.networks)

    @property
    def teacher(self) -> Denoiser:
        """The frozen teacher."""
        return self._current("teacher", self.frozen)

    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        """The losses of ``"fake"`` and, where due, ``"student"``; see :meth:`Method.losses`."""
        draws = draws.split(self._rollouts.samples(batch))
        simulate = cache(lambda: self._simulate(batch, draws))
        thunks = {
            "fake": lambda: self._fake_loss(simulate(), simulate().condition, draws),
            "student": lambda: self._student_loss(simulate(), simulate().condition, draws),
        }
        return {name: thunks[name] for name in self.due(draws.step)}

    @torch.no_grad()
    def updated(self, name: str) -> None:
        """After each update of the fake score: ``phi <- m phi + (1 - m) theta``, trained parameters only."""
        if name == "fake" and self._settings.fake_merge < 1:
            for fake, student in self._merged_parameters():
                fake.lerp_(student, 1 - self._settings.fake_merge)

    @abstractmethod
    def _student_loss(self, simulation: Simulation, condition: Condition, draws: Draws) -> Loss:
        """The student's loss, from one call of it."""

    def _schedule(self, draws: Draws) -> list[float]:
        """Sigmas of this iteration's rollout after the shift, with the final 0."""
        assert self._settings.fixed_grid is not None
        return shifted_schedule(self._settings.fixed_grid, self._shift)

    def _simulate(self, batch: Mapping[str, Tensor], draws: Draws) -> Simulation:
        """The rollout (backward simulation) and the anchors; draws are those of the samples."""
        first = next(iter(batch.values()))
        batch_size, device = len(first) * self._rollouts.samples(batch), first.device
        sigmas = self._schedule(draws)
        length = len(sigmas) - 1

        # Anchors of the whole global batch, so that every process walks equally far.
        count = max(draws.total, draws.first + batch_size)
        anchors = Draws(draws.seed, draws.step).integers("anchor", count, length)
        index = anchors[draws.first : draws.first + batch_size]
        num_steps = length if self._walks_to_the_end() else int(anchors.max()) + 1
        noise = draws.normal("rollout noise", (batch_size, *self._latent_shape), device)
        rollout, condition = self._rollouts.walk(self.student, noise, batch, sigmas, num_steps, draws)
        return Simulation(rollout, rollout.anchor(index), condition)

    def _walks_to_the_end(self) -> bool:
        """Whether the rollout goes on after the last anchor."""
        return False

    def _fake_data(self, simulation: Simulation, condition: Condition, draws: Draws) -> tuple[Tensor, Tensor]:
        """The student's predictions y that the fake score models, and the sigmas they were made at, (B,)."""
        return simulation.anchor.x0, simulation.anchor.sigma

    def _fake_loss(self, simulation: Simulation, condition: Condition, draws: Draws) -> Loss:
        """Flow matching of the fake score on the student's predictions y: ``mean (v_phi - (e - y))^2``.

        Or with ``fake_loss: x0`` of the clean latents, ``mean t^2 (v_phi - (e - y))^2``.
        """
        y, sigma = self._fake_data(simulation, condition, draws)
        t = self._times(self._settings.fake_time_law, draws, "fake", sigma)
        noise = draws.normal("fake", y.shape, y.device)
        velocity = self.fake.velocity(interpolate(y, noise, t), t, self._with_anchor(condition, sigma))
        error = velocity - velocity_from_endpoints(y, noise)
        if self._settings.fake_loss == "x0":
            error = expand_time(t, error) * error
        loss = error.square().mean()
        length = torch.tensor(float(len(simulation.rollout.sigmas) - 1), device=y.device)
        return Loss(loss, {"loss_fake": loss.detach(), "rollout_length": length})

    def _predict(self, inputs: list[tuple[Tensor, Tensor]], condition: Condition) -> tuple[Tensor, ...]:
        """The student's x_0 at each of some inputs (x, sigma), with graph."""
        # One call, since DDP wants one forward for each backward.
        x = torch.cat([x for x, _ in inputs])
        sigma = torch.cat([sigma for _, sigma in inputs])
        v = self.student.velocity(x, sigma, concatenate_conditions(*[condition] * len(inputs)))
        return x0_from_velocity(x, v, sigma).split(len(inputs[0][0]))

    def _with_and_without_prompt(self, z: Tensor, tau: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """The teacher's x_0 at (z, tau) with the prompt and with the empty one, in one call."""
        rows = len(next(iter(condition.values())))
        null = {**condition, **expand_condition(self._null_condition, rows)}
        null = {name: value.to(condition[name]) for name, value in null.items()}
        both = concatenate_conditions(condition, null)
        prediction = self._frozen_x0(self.teacher, torch.cat([z, z]), torch.cat([tau, tau]), both)
        cond, uncond = prediction.chunk(2)
        return cond, uncond

    def _guidance(
        self,
        x0: Tensor,
        sigma: Tensor,
        law: TimeLaw,
        guidance_scale: float,
        condition: Condition,
        draws: Draws,
    ) -> Tensor:
        """CA: what guidance adds to the teacher's prediction, at a copy re-noised by ``law``."""
        z, tau = self._renoise(x0, sigma, law, draws, "guidance")
        cond, uncond = self._with_and_without_prompt(z, tau, condition)
        return guidance_loss(
            x0, cond, uncond, guidance_scale, self._settings.min_norm, self._settings.norm_over
        )

    def _renoise(
        self, x0: Tensor, sigma: Tensor, law: TimeLaw, draws: Draws, purpose: str
    ) -> tuple[Tensor, Tensor]:
        """``z = (1 - tau) x_0 + tau e`` without gradient, and tau (B,)."""
        tau = self._times(law, draws, purpose, sigma)
        return interpolate(x0.detach(), draws.normal(purpose, x0.shape, x0.device), tau), tau

    def _matching(
        self, x0: Tensor, sigma: Tensor, condition: Condition, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """DM of predictions made at ``sigma``, once or twice, and what is logged of it."""
        loss, gap = self._matching_once(x0, sigma, condition, draws, "matching")
        if self._settings.double_matching:
            loss = loss + self._matching_once(x0, sigma, condition, draws, "second matching")[0]
        return loss, {"gap_matching": gap, "loss_matching": loss.detach()}

    def _matching_once(
        self, x0: Tensor, sigma: Tensor, condition: Condition, draws: Draws, purpose: str
    ) -> tuple[Tensor, Tensor]:
        """Distribution matching at one draw, and the gap between teacher and fake score."""
        z, tau = self._renoise(x0, sigma, self._settings.matching_time_law, draws, purpose)
        return self._match(x0, z, tau, sigma, condition)

    def _match(
        self, x0: Tensor, z: Tensor, tau: Tensor, sigma: Tensor, condition: Condition
    ) -> tuple[Tensor, Tensor]:
        real = self._real(z, tau, condition)
        fake = self._frozen_x0(self.fake, z, tau, self._with_anchor(condition, sigma))
        loss = distribution_matching_loss(x0, real, fake, self._settings.min_norm, self._settings.norm_over)
        return loss, (real - fake).abs().mean()

    def _real(self, z: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        """D_real(z, tau, c): the teacher's x_0, with the prompt and without guidance."""
        return self._frozen_x0(self.teacher, z, tau, condition)

    @staticmethod
    def _frozen_x0(denoiser: Denoiser, z: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """D(z, t, c) without gradient."""
        with evaluating(denoiser.network):
            return x0_from_velocity(z, denoiser.velocity(z, t, condition), t)

    def _times(self, law: TimeLaw, draws: Draws, purpose: str, cap: Tensor) -> Tensor:
        settings = self._settings
        times = draw_times(
            law, draws, f"{purpose} time", len(cap), cap=cap, low=settings.time_min, high=settings.time_max
        )
        return times.to(cap.device)

    def _with_anchor(self, condition: Condition, sigma: Tensor) -> Condition:
        return {**condition, ANCHOR_SIGMA: sigma} if self._settings.anchor_aware else condition

    def _current(self, name: str, networks: dict[str, nn.Module]) -> Denoiser:
        denoiser = self._denoisers[name]
        denoiser.network = networks[name]
        return denoiser

    def _merged_parameters(self) -> list[tuple[Tensor, Tensor]]:
        student = _trained_parameters(self.networks["student"])
        fake = _trained_parameters(self.networks["fake"])
        # Shards of both are cut alike, so that each process merges its own.
        return [(local(fake[name].data), local(student[name].data)) for name in fake if name in student]


def _trained_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
