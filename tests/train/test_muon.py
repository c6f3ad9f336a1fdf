"""Muon for the matrices of the blocks beside AdamW."""

from pathlib import Path

import pytest
import torch
from tiny_training import WIDTH, Chase, train, weights
from torch import Tensor, nn

from train.optimizers import MuonBesideAdamW

SETTINGS = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}


class Blocks(nn.Module):
    """Two layers that Muon steps, but for their biases, and a head that AdamW steps."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(WIDTH, 24), nn.Tanh(), nn.Linear(24, 16))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x))


def gradients(parameters: dict[str, nn.Parameter]) -> None:
    for number, parameter in enumerate(parameters.values()):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))


def test_a_matrix_of_the_blocks_moves_orthogonally_and_all_else_as_adamw_has_it() -> None:
    torch.manual_seed(0)
    ours, alone = dict(Blocks().named_parameters()), dict(Blocks().named_parameters())
    for name, parameter in alone.items():
        parameter.data.copy_(ours[name].data)
    before = {name: parameter.detach().clone() for name, parameter in ours.items()}
    gradients(ours)
    gradients(alone)
    MuonBesideAdamW(ours, **SETTINGS).step()
    torch.optim.AdamW(alone.values(), **SETTINGS).step()
    for name, parameter in ours.items():
        if name in ("blocks.0.weight", "blocks.2.weight"):
            step = (before[name] * (1 - 1e-3) - parameter).detach() / SETTINGS["lr"]
            singular = torch.linalg.svdvals(step) / (0.2 * max(step.shape) ** 0.5)
            assert singular.min() > 0.6 and singular.max() < 1.3  # five Newton-Schulz steps come so near to 1
        else:
            torch.testing.assert_close(parameter, alone[name])


def test_one_learning_rate_moves_both() -> None:
    parameters = dict(Blocks().named_parameters())
    optimizer = MuonBesideAdamW(parameters, **(SETTINGS | {"weight_decay": 0.0}))
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    gradients(parameters)
    optimizer.step()
    assert all(torch.equal(parameter, before[name]) for name, parameter in parameters.items())


def test_a_run_with_muon_resumes_bit_equal(tmp_path: Path) -> None:
    def run(output: Path, steps: int, resume: str | None = None) -> dict[str, Tensor]:
        torch.manual_seed(3)
        method = Chase(Blocks(), Blocks(), Blocks())
        settings = {"optimizer": "muon", "lr_schedule": "constant", "steps": steps}
        return weights(train(output, method=method, resume=resume, **settings))

    whole = run(tmp_path / "whole", 12)
    run(tmp_path / "parts", 8)
    resumed = run(tmp_path / "parts", 12, "latest")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


@pytest.mark.parametrize("settings", [{"sharding": "fsdp2"}, {"eight_bit": True}])
def test_muon_says_what_it_cannot_do(tmp_path: Path, settings: dict) -> None:
    with pytest.raises(ValueError, match="optimizer: adamw"):
        train(tmp_path, optimizer="muon", **settings)
