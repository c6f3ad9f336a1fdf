"""CDM: distils a many-step velocity network into one of few steps, without images (arXiv 2605.06376).

Legend: B batch; C, F, H, W channels, frames, height and width of the latents; N steps of a rollout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from train.methods.method import Loss, Method
from train.recipes.cdm import CDMSettings
from train.sharding import local
from vision.distill.anchor import ANCHOR_SIGMA, AnchorAwareDenoiser
from vision.distill.losses import distribution_matching_loss, guidance_loss
from vision.distill.off_trajectory import off_trajectory
from vision.distill.rollout import Anchor, Rollout, roll_out
from vision.distill.schedule import random_schedule
from vision.flow.denoiser import Condition, Denoiser, concatenate_conditions, expand_condition
from vision.flow.draws import Draws
from vision.flow.evaluating import evaluating
from vision.flow.path import interpolate, velocity_from_endpoints, x0_from_velocity
from vision.flow.schedules import shifted_schedule
from vision.flow.shift import TimeShift
from vision.flow.time_laws import TimeLaw, draw_times


@dataclass(frozen=True)
class _Simulation:
    """What fake score and student share in one iteration.

    Attributes:
        length: N.
        anchor: the rollout's point that the losses use, one a sample.
        x, sigma: the student's input of the off-trajectory loss, (B, C, F, H, W) and (B,).
        final: the rollout's end, where an option asks for it.
    """

    length: int
    anchor: Anchor
    x: Tensor
    sigma: Tensor
    final: Tensor | None


class CDM(Method):
    """Continuous-time distribution matching: networks ``"fake"`` and ``"student"``, frozen ``"teacher"``.

    In each iteration the student is rolled out along a random schedule, without gradients, and each
    sample gets an anchor i on it. The fake score is trained on the student's predictions there and then
    moved a little towards the student. In each ``student_every``-th iteration the student follows

        L = CA(x_i) + DM(x_i) + CDM(x'),    x' = x_i + (s - sigma_i) v_i.

    Options and their defaults, the published configuration, are in :class:`CDMSettings`.

    A batch holds what the networks are conditioned on, batch first.

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
        settings: CDMSettings,
        null_condition: Condition,
        latent_shape: tuple[int, int, int, int],
        shift: TimeShift | float = 1.0,
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
        condition = {name: value for name, value in batch.items() if name != "latents"}
        simulate = cache(lambda: self._simulate(condition, draws))
        thunks = {
            "fake": lambda: self._fake_loss(simulate(), condition, draws),
            "student": lambda: self._student_loss(simulate(), condition, draws),
        }
        return {name: thunks[name] for name in self.due(draws.step)}

    @torch.no_grad()
    def updated(self, name: str) -> None:
        """After each update of the fake score: ``phi <- m phi + (1 - m) theta``, trained parameters only."""
        if name == "fake" and self._settings.fake_merge < 1:
            for fake, student in self._merged_parameters():
                fake.lerp_(student, 1 - self._settings.fake_merge)

    def _simulate(self, condition: Condition, draws: Draws) -> _Simulation:
        """The rollout (spec: backward simulation), the anchors, and the off-trajectory input."""
        if not condition:
            raise ValueError("the batch holds no condition; expected at least one named tensor, the prompts")
        first = next(iter(condition.values()))
        batch_size, device = len(first), first.device
        sigmas = self._schedule(draws)
        length = len(sigmas) - 1

        # Anchors of the whole global batch, so that every process walks equally far.
        count = max(draws.total, draws.first + batch_size)
        anchors = Draws(draws.seed, draws.step).integers("anchor", count, length)
        index = anchors[draws.first : draws.first + batch_size]
        settings = self._settings
        to_the_end = settings.teacher_base == "x0_final" or settings.student_input == "trajectory_eps_last"
        num_steps = length if to_the_end else int(anchors.max()) + 1

        noise = draws.normal("rollout noise", (batch_size, *self._latent_shape), device)
        rollout = roll_out(self.student, noise, condition, sigmas, num_steps)
        anchor = rollout.anchor(index)
        final = rollout.final if to_the_end else None
        x, sigma = self._off_trajectory_input(rollout, anchor, final, draws)
        return _Simulation(length, anchor, x, sigma, final)

    def _schedule(self, draws: Draws) -> list[float]:
        """Sigmas of this iteration's rollout after the shift, with the final 0."""
        settings = self._settings
        if settings.fixed_grid is not None:
            return shifted_schedule(settings.fixed_grid, self._shift)
        times = random_schedule(
            draws.seed,
            draws.step,
            settings.max_rollout_steps,
            settings.sigma_low,
            settings.sigma_high,
            settings.stratified,
            draws.rank,
        )
        return shifted_schedule(times, self._shift)

    def _off_trajectory_input(
        self, rollout: Rollout, anchor: Anchor, final: Tensor | None, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """(x', s) of the off-trajectory loss; x' carries no gradient."""
        kind = self._settings.student_input
        if kind == "trajectory_xt":
            return anchor.x, anchor.sigma
        if kind == "trajectory_eps_last":
            anchor = rollout.anchor(torch.full((len(anchor.x),), len(rollout.velocities) - 1))
        law = self._settings.off_trajectory_time_law
        sigma = self._times(law, draws, "off-trajectory input", anchor.sigma)
        if kind == "fresh":
            base = anchor.x0 if final is None else final
            noise = draws.normal("off-trajectory input", anchor.x.shape, anchor.x.device)
            return interpolate(base, noise, sigma), sigma
        return off_trajectory(anchor.x, anchor.velocity, anchor.sigma, sigma), sigma

    def _fake_loss(self, simulation: _Simulation, condition: Condition, draws: Draws) -> Loss:
        """Flow matching of the fake score on the student's predictions y: ``mean (v_phi - (e - y))^2``."""
        y, sigma = simulation.anchor.x0, simulation.anchor.sigma
        share = self._settings.fake_on_off_trajectory
        if share > 0:
            with evaluating(self.networks["student"]):
                v = self.student.velocity(simulation.x, simulation.sigma, condition)
            chosen = (draws.uniform("fake data", len(y)) < share).to(y.device)
            prediction = x0_from_velocity(simulation.x, v, simulation.sigma)
            y = torch.where(chosen[:, None, None, None, None], prediction, y)
            sigma = torch.where(chosen, simulation.sigma, sigma)

        t = self._times(self._settings.fake_time_law, draws, "fake", sigma)
        noise = draws.normal("fake", y.shape, y.device)
        velocity = self.fake.velocity(interpolate(y, noise, t), t, self._with_anchor(condition, sigma))
        loss = (velocity - velocity_from_endpoints(y, noise)).square().mean()
        length = torch.tensor(float(simulation.length), device=y.device)
        return Loss(loss, {"loss_fake": loss.detach(), "rollout_length": length})

    def _student_loss(self, simulation: _Simulation, condition: Condition, draws: Draws) -> Loss:
        """CA and DM at the anchor, CDM off the trajectory; one call of the student for all."""
        settings = self._settings
        x0_anchor, x0_off = self._predict(simulation, condition)
        total = torch.zeros((), device=simulation.anchor.x.device)
        parts: dict[str, Tensor] = {}

        if settings.weight_guidance > 0:
            loss = self._guidance(x0_anchor, simulation.anchor.sigma, condition, draws)
            parts["loss_guidance"] = loss.detach()
            total = total + settings.weight_guidance * loss
        if settings.weight_matching > 0:
            sigma = simulation.anchor.sigma
            loss, parts["gap_matching"] = self._matching(x0_anchor, sigma, condition, draws, "matching")
            if settings.double_matching:
                second, _ = self._matching(x0_anchor, sigma, condition, draws, "second matching")
                loss = loss + second
            parts["loss_matching"] = loss.detach()
            total = total + settings.weight_matching * loss
        if settings.weight_off_trajectory > 0:
            loss, parts["gap_off_trajectory"] = self._off_trajectory(x0_off, simulation, condition, draws)
            parts["loss_off_trajectory"] = loss.detach()
            total = total + settings.weight_off_trajectory * loss
        return Loss(total, parts)

    def _predict(self, simulation: _Simulation, condition: Condition) -> tuple[Tensor, Tensor]:
        """The student's x_0 at the anchor and at x', with graph; one that no loss needs repeats the other."""
        settings, anchor = self._settings, simulation.anchor
        at_anchor = settings.weight_guidance > 0 or settings.weight_matching > 0
        off = settings.weight_off_trajectory > 0 and settings.student_input != "trajectory_xt"
        at_anchor = at_anchor or not off
        inputs = [(anchor.x, anchor.sigma)] * at_anchor + [(simulation.x, simulation.sigma)] * off
        # One call, since DDP wants one forward for each backward.
        x = torch.cat([x for x, _ in inputs])
        sigma = torch.cat([sigma for _, sigma in inputs])
        v = self.student.velocity(x, sigma, concatenate_conditions(*[condition] * len(inputs)))
        x0 = x0_from_velocity(x, v, sigma).split(len(anchor.x))
        return x0[0], x0[-1]

    def _guidance(self, x0: Tensor, sigma: Tensor, condition: Condition, draws: Draws) -> Tensor:
        """CA: the teacher with and without the prompt, in one call, at a copy cleaner than the anchor."""
        settings = self._settings
        tau = self._times(settings.guidance_time_law, draws, "guidance", sigma)
        z = interpolate(x0.detach(), draws.normal("guidance", x0.shape, x0.device), tau)
        null = {**condition, **expand_condition(self._null_condition, len(x0))}
        null = {name: value.to(condition[name]) for name, value in null.items()}
        both = concatenate_conditions(condition, null)
        prediction = self._frozen_x0(self.teacher, torch.cat([z, z]), torch.cat([tau, tau]), both)
        cond, uncond = prediction.chunk(2)
        return guidance_loss(x0, cond, uncond, settings.guidance_scale, settings.min_norm, settings.norm_over)

    def _matching(
        self, x0: Tensor, sigma: Tensor, condition: Condition, draws: Draws, purpose: str
    ) -> tuple[Tensor, Tensor]:
        """DM of predictions made at ``sigma``, and the gap between teacher and fake score."""
        tau = self._times(self._settings.matching_time_law, draws, purpose, sigma)
        z = interpolate(x0.detach(), draws.normal(purpose, x0.shape, x0.device), tau)
        return self._match(x0, z, tau, sigma, condition)

    def _off_trajectory(
        self, x0: Tensor, simulation: _Simulation, condition: Condition, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """CDM: distribution matching of the predictions at x'; see ``teacher_base`` and ``teacher_input``."""
        settings, sigma = self._settings, simulation.sigma
        if settings.teacher_input == "share_student":
            return self._match(x0, simulation.x, sigma, sigma, condition)
        base = x0.detach()
        if settings.teacher_base == "x0_next":
            base = simulation.anchor.x0
        elif settings.teacher_base == "x0_final":
            assert simulation.final is not None
            base = simulation.final
        tau = sigma
        if settings.teacher_input == "fresh_independent":
            tau = self._times(settings.off_trajectory_time_law, draws, "off-trajectory teacher", sigma)
        z = interpolate(base, draws.normal("off-trajectory teacher", x0.shape, x0.device), tau)
        return self._match(x0, z, tau, sigma, condition)

    def _match(
        self, x0: Tensor, z: Tensor, tau: Tensor, sigma: Tensor, condition: Condition
    ) -> tuple[Tensor, Tensor]:
        real = self._frozen_x0(self.teacher, z, tau, condition)
        fake = self._frozen_x0(self.fake, z, tau, self._with_anchor(condition, sigma))
        loss = distribution_matching_loss(x0, real, fake, self._settings.min_norm, self._settings.norm_over)
        return loss, (real - fake).abs().mean()

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
