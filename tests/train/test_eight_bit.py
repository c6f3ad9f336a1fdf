"""8-bit AdamW of bitsandbytes, which runs on a CPU too."""

from pathlib import Path

import torch
from tiny_training import WIDTH, Chase, train, weights
from torch import nn


def method() -> Chase:
    """Networks with a layer of 6,144 weights: below 4,096 bitsandbytes keeps moments in float32."""
    torch.manual_seed(3)
    return Chase(*(nn.Sequential(nn.Linear(WIDTH, 1024), nn.Tanh(), nn.Linear(1024, 3)) for _ in range(3)))


def run(output: Path, steps: int, resume: str | None = None) -> dict[str, torch.Tensor]:
    settings = {"eight_bit": True, "lr_schedule": "constant", "steps": steps}
    result = train(output, method=method(), resume=resume, **settings)
    moments, _ = result.networks["fake"].optimizer_state()
    assert moments["state1/0.weight"].dtype == torch.uint8
    return weights(result)


def test_a_run_in_eight_bits_resumes_bit_equal(tmp_path: Path):
    whole = run(tmp_path / "whole", 12)
    run(tmp_path / "parts", 8)
    resumed = run(tmp_path / "parts", 12, "latest")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
