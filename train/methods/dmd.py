"""DMD: guidance and distribution matching at one re-noised copy (Yin et al. 2023, arXiv 2311.18828)."""

from torch import Tensor

from train.methods.method import Loss
from train.methods.score_distillation import ScoreDistillation, Simulation
from train.recipes.dmd import DMDSettings
from vision.flow.denoiser import Condition
from vision.flow.draws import Draws


class DMD(ScoreDistillation[DMDSettings]):
    """Distribution matching distillation; see :class:`ScoreDistillation` for networks and arguments.

    The student is rolled out along the fixed grid that it will be sampled on (the backward simulation of
    DMD2, arXiv 2405.14867) and follows, at one re-noised copy z of its prediction,

        Delta = D_real(z, tau, null) + g (D_real(z, tau, c) - D_real(z, tau, null)) - D_fake(z, tau, c).

    No adversarial loss and no regression on pairs: what is left needs prompts alone.
    """

    def _student_loss(self, simulation: Simulation, condition: Condition, draws: Draws) -> Loss:
        """Distribution matching at the anchor."""
        anchor = simulation.anchor
        (x0,) = self._predict([(anchor.x, anchor.sigma)], condition)
        return Loss(*self._matching(x0, anchor.sigma, condition, draws))

    def _real(self, z: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        """The teacher's x_0 with guidance."""
        scale = self._settings.guidance_scale
        if scale == 1:
            return super()._real(z, tau, condition)
        cond, uncond = self._with_and_without_prompt(z, tau, condition)
        return uncond + scale * (cond - uncond)
