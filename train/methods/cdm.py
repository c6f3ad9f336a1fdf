"""CDM: distils a many-step velocity network into one of few steps, without images (arXiv 2605.06376).

Legend: B batch; C, F, H, W channels, frames, height and width of the latents.
"""

import torch
from torch import Tensor

from train.methods.method import Loss
from train.methods.score_distillation import ScoreDistillation, Simulation
from train.recipes.cdm import CDMSettings
from vision.distill.off_trajectory import off_trajectory
from vision.distill.schedule import random_schedule
from vision.flow.denoiser import Condition
from vision.flow.draws import Draws
from vision.flow.evaluating import evaluating
from vision.flow.path import interpolate, x0_from_velocity
from vision.flow.schedules import shifted_schedule


class CDM(ScoreDistillation[CDMSettings]):
    """Continuous-time distribution matching; see :class:`ScoreDistillation` for networks and arguments.

    The student is rolled out along a random schedule, and follows

        L = CA(x_i) + DM(x_i) + CDM(x'),    x' = x_i + (s - sigma_i) v_i.

    Options and their defaults, the published configuration, are in :class:`CDMSettings`.
    """

    def _schedule(self, draws: Draws) -> list[float]:
        settings = self._settings
        if settings.fixed_grid is not None:
            return super()._schedule(draws)
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

    def _walks_to_the_end(self) -> bool:
        settings = self._settings
        return settings.teacher_base == "x0_final" or settings.student_input == "trajectory_eps_last"

    def _off_trajectory_input(self, simulation: Simulation, draws: Draws) -> tuple[Tensor, Tensor]:
        """(x', s) of the off-trajectory loss, (B, C, F, H, W) and (B,); without gradient."""
        kind, anchor, rollout = self._settings.student_input, simulation.anchor, simulation.rollout
        if kind == "trajectory_xt":
            return anchor.x, anchor.sigma
        if kind == "trajectory_eps_last":
            anchor = rollout.anchor(torch.full((len(anchor.x),), len(rollout.velocities) - 1))
        law = self._settings.off_trajectory_time_law
        sigma = self._times(law, draws, "off-trajectory input", anchor.sigma)
        if kind == "fresh":
            base = rollout.final if self._settings.teacher_base == "x0_final" else anchor.x0
            noise = draws.normal("off-trajectory input", anchor.x.shape, anchor.x.device)
            return interpolate(base, noise, sigma), sigma
        return off_trajectory(anchor.x, anchor.velocity, anchor.sigma, sigma), sigma

    def _fake_data(self, simulation: Simulation, condition: Condition, draws: Draws) -> tuple[Tensor, Tensor]:
        y, sigma = super()._fake_data(simulation, condition, draws)
        share = self._settings.fake_on_off_trajectory
        if share == 0:
            return y, sigma
        x, sigma_off = self._off_trajectory_input(simulation, draws)
        with evaluating(self.networks["student"]):
            prediction = x0_from_velocity(x, self.student.velocity(x, sigma_off, condition), sigma_off)
        chosen = (draws.uniform("fake data", len(y)) < share).to(y.device)
        y = torch.where(chosen[:, None, None, None, None], prediction, y)
        return y, torch.where(chosen, sigma_off, sigma)

    def _student_loss(self, simulation: Simulation, condition: Condition, draws: Draws) -> Loss:
        """CA and DM at the anchor, CDM off the trajectory."""
        settings, anchor = self._settings, simulation.anchor
        at_anchor = settings.weight_guidance > 0 or settings.weight_matching > 0
        inputs = [(anchor.x, anchor.sigma)] * at_anchor
        if settings.weight_off_trajectory > 0 and not (
            at_anchor and settings.student_input == "trajectory_xt"
        ):
            inputs.append(self._off_trajectory_input(simulation, draws))
        predictions = self._predict(inputs, condition)
        x0_anchor, x0_off = predictions[0], predictions[-1]

        total = torch.zeros((), device=anchor.x.device)
        parts: dict[str, Tensor] = {}
        if settings.weight_guidance > 0:
            loss = self._guidance(
                x0_anchor, anchor.sigma, settings.guidance_time_law, settings.guidance_scale, condition, draws
            )
            parts["loss_guidance"] = loss.detach()
            total = total + settings.weight_guidance * loss
        if settings.weight_matching > 0:
            loss, logged = self._matching(x0_anchor, anchor.sigma, condition, draws)
            parts |= logged
            total = total + settings.weight_matching * loss
        if settings.weight_off_trajectory > 0:
            loss, parts["gap_off_trajectory"] = self._off_trajectory(x0_off, simulation, condition, draws)
            parts["loss_off_trajectory"] = loss.detach()
            total = total + settings.weight_off_trajectory * loss
        return Loss(total, parts)

    def _off_trajectory(
        self, x0: Tensor, simulation: Simulation, condition: Condition, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """CDM: distribution matching of the predictions at x'; see ``teacher_base`` and ``teacher_input``."""
        settings = self._settings
        x, sigma = self._off_trajectory_input(simulation, draws)
        if settings.teacher_input == "share_student":
            return self._match(x0, x, sigma, sigma, condition)
        base = x0.detach()
        if settings.teacher_base == "x0_next":
            base = simulation.anchor.x0
        elif settings.teacher_base == "x0_final":
            base = simulation.rollout.final
        tau = sigma
        if settings.teacher_input == "fresh_independent":
            tau = self._times(settings.off_trajectory_time_law, draws, "off-trajectory teacher", sigma)
        z = interpolate(base, draws.normal("off-trajectory teacher", x0.shape, x0.device), tau)
        return self._match(x0, z, tau, sigma, condition)
