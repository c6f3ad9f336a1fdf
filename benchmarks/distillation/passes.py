"""What a method costs, in passes of one sample through the transformer, counted on a stand-in for it."""

from itertools import count

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from train.jobs.cdm import CDMJob
from train.jobs.consistency import ConsistencyJob
from train.jobs.ddmd import DDMDJob
from train.jobs.distillation import Parts
from train.jobs.dmd import DMDJob
from train.jobs.meanflow import MeanFlowJob
from train.recipes.distillation import DistillationRecipe
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws

JOBS = {
    "cdm": CDMJob,
    "ddmd": DDMDJob,
    "dmd": DMDJob,
    "consistency": ConsistencyJob,
    "meanflow": MeanFlowJob,
}
# A backward pass is two forward passes' worth of products, a forward derivative one.
FORWARD, BACKWARD, DERIVATIVE = 1, 2, 1


class CountingDenoiser(Denoiser):
    """A network of one layer that counts the passes which a transformer in its place would make."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(1, 1))
        self.passes = 0

    @property
    def trained(self) -> bool:
        """Whether the network is one that a loss is propagated back to."""
        return all(parameter.requires_grad for parameter in self.network.parameters())

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        trained = torch.is_grad_enabled() and self.trained
        differentiated = forward_ad.unpack_dual(t).tangent is not None
        self.passes += len(x_t) * (FORWARD + BACKWARD * trained + DERIVATIVE * differentiated)
        return self.network(x_t * (1 + t.reshape(-1, 1, 1, 1, 1)))

    def time_embedder(self) -> nn.Module:
        return self.network


def iterations_within(recipe: DistillationRecipe, budget: int) -> int:
    """How many iterations cost at most ``budget`` passes a sample of the batch; whole updates of the student.

    The method itself runs with its own draws, so that random schedules count as long as they are.
    """
    job = JOBS[recipe.recipe](recipe)
    networks = {name: CountingDenoiser() for name in (*recipe.networks, "teacher")}
    null = {"encoder_hidden_states": torch.zeros(1, 1, 1)}
    parts = Parts(
        {name: networks[name] for name in recipe.networks},
        networks["teacher"],
        null,
        (1, 1, 1, 1),
        lambda t: t,
    )
    method = job.method(parts)
    size = recipe.train.batch_size
    batch = {"encoder_hidden_states": torch.zeros(size, 1, 1), "latents": torch.zeros(size, 1, 1, 1, 1)}
    period = max(method.every.values())
    whole = 0
    for step in count():
        for loss in method.losses(batch, Draws(recipe.train.seed, step, 0, size)).values():
            loss()
        if sum(network.passes for network in networks.values()) > budget * size:
            return whole
        if (step + 1) % period == 0:
            whole = step + 1
    raise AssertionError
