"""The networks of a distillation, as the recipe's memory plan has them, and the memory that they take."""

import copy
from collections.abc import Mapping, Sequence

from torch import nn

from train.estimate import Estimate, Load, NetworkSize, estimate
from train.recipes.distillation import MemoryPlan
from train.recipes.lora import LoRARecipe
from train.recipes.train import TrainRecipe
from vision.lora.adapters import add_lora
from vision.lora.shared_base import AdapterView


def distillation_networks(
    transformer: nn.Module, plan: MemoryPlan, lora: LoRARecipe | None, names: Sequence[str], seed: int = 0
) -> dict[str, nn.Module]:
    """Student, fake scores and teacher, each computing at first what the transformer computes.

    ``full`` trains whole copies of the transformer beside it. ``lora`` trains adapters of the transformer,
    which without them is the teacher: one copy of the weights. ``lora_fake`` trains a whole student, and
    the fake scores as adapters of the teacher: two copies.

    Args:
        transformer: the teacher's, any network that peft puts adapters on; it becomes part of the result.
        plan: what is a copy and what is an adapter.
        lora: settings of the adapters; None takes their defaults.
        names: names of the trained networks, the student first.
        seed: of the adapters' first weights, which are equal in all of them.

    Returns:
        The trained networks by name, and the frozen one as ``"teacher"``.
    """
    copies = {"full": names, "lora": (), "lora_fake": names[:1]}[plan]
    networks = {name: copy.deepcopy(transformer).requires_grad_(True) for name in copies}
    transformer.requires_grad_(False)
    adapters = [name for name in names if name not in copies]
    if not adapters:
        return {**networks, "teacher": transformer}
    lora = lora or LoRARecipe()
    for name in adapters:
        add_lora(transformer, lora.rank, lora.alpha, lora.target_modules, name, seed=seed)
    for name in adapters:
        networks[name] = AdapterView(transformer, name).requires_grad_(True)
    return {**networks, "teacher": AdapterView(transformer, None)}


def distillation_estimates(
    networks: Mapping[str, nn.Module],
    sequence: tuple[int, int],
    samples_at_once: Mapping[str, int],
    train: TrainRecipe,
    processes: int,
    device: str,
) -> dict[str, Estimate]:
    """Memory of the networks of :func:`distillation_networks` by name.

    Args:
        networks: on the meta device, the student first.
        sequence: tokens of a sample, and tokens of its prompt.
        samples_at_once: how many inputs a sample of the batch one call of a network holds at most, by name; 1
            where it is left out.
        train: the recipe's.
        processes: of the run.
        device: "cpu" or "cuda".
    """
    student = next(iter(networks))
    return {
        name: estimate(
            NetworkSize.of(network),
            Load(train.batch_size * samples_at_once.get(name, 1), *sequence),
            train,
            averaged=name == student,
            processes=processes,
            device=device,
        )
        for name, network in networks.items()
    }
