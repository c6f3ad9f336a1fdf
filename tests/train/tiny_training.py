"""A tiny method, its networks and its data, for the tests of the loop. Forked children import it too."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from train.data.batches import Batches
from train.data.item import Item
from train.data.order import EpochOrder
from train.loop import run_training
from train.methods.method import Loss, Method
from train.recipes.train import TrainRecipe
from train.run_folder import RunFolder
from train.training_result import TrainingResult
from vision.flow.draws import Draws

WIDTH = 6


class Block(nn.Module):
    """A residual layer with dropout, which draws from torch's global generator."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.scale = nn.Parameter(torch.full((1, WIDTH), 0.5))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.tanh(self.linear(self.dropout(x)))


class Network(nn.Module):
    """A stack of blocks between two layers."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.blocks = nn.ModuleList(Block(dropout) for _ in range(2))
        self.last = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x)


class Chase(Method):
    """The fake imitates the student's answers, in every iteration; the student, in every second one, moves
    away from the fake and towards the data."""

    def __init__(self, student: nn.Module, fake: nn.Module, teacher: nn.Module) -> None:
        networks = {"fake": fake, "student": student}
        super().__init__(networks, {"teacher": teacher}, {"fake": 1, "student": 2})
        self.updates = {"fake": 0, "student": 0}
        self.seen: list[tuple[int, Tensor]] = []

    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        x = batch["x"] + 0.1 * draws.normal("noise", batch["x"].shape).to(batch["x"].device)
        self.seen.append((draws.step, batch["index"]))
        thunks = {"fake": lambda: self._fake(x), "student": lambda: self._student(x)}
        return {name: thunks[name] for name in self.due(draws.step)}

    def _fake(self, x: Tensor) -> Loss:
        with torch.no_grad():
            target = self.networks["student"](x)
        return Loss((self.networks["fake"](x) - target).float().square().mean())

    def _student(self, x: Tensor) -> Loss:
        with torch.no_grad():
            away = self.networks["fake"](x) - self.frozen["teacher"](x)
        # Two forwards of one network before one backward, as distillation has them.
        answer, other = self.networks["student"](x), self.networks["student"](-x)
        matching = (answer - (answer - away).detach()).float().square().mean()
        return Loss(matching + 0.1 * other.float().square().mean(), {"matching": matching.detach()})

    def updated(self, name: str) -> None:
        self.updates[name] += 1
        if name == "fake":
            with torch.no_grad():
                pairs = zip(
                    self.networks["fake"].parameters(), self.networks["student"].parameters(), strict=True
                )
                for fake, student in pairs:
                    if fake.requires_grad:
                        fake.lerp_(student, 0.01)


class Numbers:
    """Fixed random vectors."""

    def __init__(self, count: int = 40) -> None:
        self.x = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        return {"x": self.x[item.index], "index": torch.tensor([item.index, item.position])}


def make_networks(lora: bool = False, dropout: float = 0.1) -> tuple[Network, Network, Network]:
    """Student, fake and teacher with fixed first weights; with ``lora`` only adapters are trained."""
    torch.manual_seed(3)
    student, fake, teacher = (Network(dropout) for _ in range(3))
    if lora:
        for network in (student, fake):
            inject_adapter_in_model(LoraConfig(r=2, target_modules=["linear"]), network)
    return student, fake, teacher


def make_method(lora: bool = False, dropout: float = 0.1) -> Chase:
    """:class:`Chase` with fixed first weights."""
    return Chase(*make_networks(lora, dropout))


def make_recipe(output: Path, **settings: Any) -> TrainRecipe:
    """A short run in float32 without reports."""
    defaults = {
        "steps": 12,
        "batch_size": 4,
        "lr": 1e-2,
        "warmup_steps": 3,
        "lr_schedule": "cosine",
        "mixed_precision": "no",
        "save_every": 4,
        "log_every": 3,
        "ema_decay": 0.9,
        "tracker": "none",
    }
    return TrainRecipe(output=str(output), **{**defaults, **settings})


def weights(result: TrainingResult) -> dict[str, Tensor]:
    """Every trained weight and average of a finished run."""
    return {
        f"{name}/{ema}/{key}": tensor
        for name in result.networks
        for ema in (False, True)
        for key, tensor in result.weights(name, ema).items()
    }


def train(
    output: Path,
    *,
    resume: str | None = None,
    method: Method | None = None,
    preview: Any = None,
    **settings: Any,
) -> TrainingResult:
    """A run of :class:`Chase`."""
    recipe = make_recipe(output, **settings)
    with RunFolder(recipe.output, resume) as run:
        return run_training(
            method or make_method(),
            Batches(Numbers(), EpochOrder(40), recipe.seed),
            recipe,
            resolved_recipe={"train": recipe.model_dump(mode="json")},
            run=run,
            ema_of=["student"],
            preview=preview,
        )
