"""Decoupled DMD: guidance and distribution matching, each at its own re-noised copy (arXiv 2511.22677)."""

from train.methods.method import Loss
from train.methods.score_distillation import ScoreDistillation, Simulation
from train.recipes.ddmd import DDMDSettings
from vision.flow.denoiser import Condition
from vision.flow.draws import Draws


class DDMD(ScoreDistillation[DDMDSettings]):
    """Decoupled DMD; see :class:`ScoreDistillation` for networks and arguments.

    The student is rolled out along the fixed grid that it will be sampled on, and follows

        L = CA(x_i) + DM(x_i).

    It is CDM without random schedules and without the loss off the trajectory.
    """

    def _student_loss(self, simulation: Simulation, condition: Condition, draws: Draws) -> Loss:
        """CA and DM at the anchor."""
        settings, anchor = self._settings, simulation.anchor
        (x0,) = self._predict([(anchor.x, anchor.sigma)], condition)
        guidance = self._guidance(
            x0, anchor.sigma, settings.guidance_time_law, settings.guidance_scale, condition, draws
        )
        matching, parts = self._matching(x0, anchor.sigma, condition, draws)
        return Loss(guidance + matching, {"loss_guidance": guidance.detach(), **parts})
