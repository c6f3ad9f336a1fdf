"""Several gloo processes do what one does with the same global batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import run_forked
from tiny_training import make_method, train, weights

from vision.processes import leave

GLOBAL_BATCH = 12


def run(output: Path, lora: bool = False, resume: str | None = None, **settings: Any) -> dict | None:
    """Every weight at the end, from the main process."""
    method = make_method(lora=lora, dropout=0.0)
    result = train(output, resume=resume, method=method, **settings)
    return {name: tensor.numpy() for name, tensor in weights(result).items()}


def on(world_size: int, output: Path, accumulation: int = 1, **settings: Any) -> dict[str, np.ndarray]:
    batch_size = GLOBAL_BATCH // world_size // accumulation
    return run_forked(
        run, output, world_size=world_size, batch_size=batch_size, accumulation=accumulation, **settings
    )


def largest_difference(found: dict, expected: dict) -> float:
    assert found.keys() == expected.keys() and len(found) > 8
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process, by kind of training."""
    folder = tmp_path_factory.mktemp("alone")
    return {lora: on(1, folder / str(lora), lora=lora) for lora in (False, True)}


@pytest.mark.parametrize(("lora", "accumulation"), [(False, 1), (False, 2), (True, 1)])
def test_two_processes_are_one_with_their_global_batch(tmp_path, alone, lora, accumulation):
    found = on(2, tmp_path / "run", lora=lora, accumulation=accumulation)
    assert largest_difference(found, alone[lora]) < 1e-6


@pytest.mark.parametrize(("lora", "accumulation"), [(False, 2), (True, 1)])
def test_two_sharded_processes_follow_the_unsharded_run(tmp_path, alone, lora, accumulation):
    found = on(2, tmp_path / "run", lora=lora, accumulation=accumulation, sharding="fsdp2")
    assert largest_difference(found, alone[lora]) < 1e-5


@pytest.mark.parametrize("lora", [False, True])
def test_a_sharded_checkpoint_of_two_resumes_with_one_two_and_three(tmp_path, alone, lora):
    """The unsharded run's moments and averages are reached too, or the second half would part from it."""
    settings = {"lora": lora, "sharding": "fsdp2", "save_every": 5, "keep_last": 9}
    on(2, tmp_path / "run", **settings)
    checkpoint = tmp_path / "run" / "checkpoints" / "step-00000005"
    for world_size in (1, 2, 3):
        found = on(world_size, tmp_path / str(world_size), resume=str(checkpoint), **settings)
        assert largest_difference(found, alone[lora]) < 1e-5


def test_a_replicated_checkpoint_of_two_resumes_with_one(tmp_path, alone):
    on(2, tmp_path / "run", keep_last=9)
    checkpoint = tmp_path / "run" / "checkpoints" / "step-00000004"
    found = on(1, tmp_path / "resumed", resume=str(checkpoint))
    assert largest_difference(found, alone[False]) < 1e-6


def test_sharded_bf16_gathers_in_bf16_and_keeps_float32_shards(tmp_path):
    """It follows DDP in bf16 as far as rounding of whole gradients in bf16 lets it."""
    expected = on(2, tmp_path / "replicated", mixed_precision="bf16", steps=3)
    found = on(2, tmp_path / "sharded", mixed_precision="bf16", steps=3, sharding="fsdp2")
    assert all(array.dtype == np.float32 for array in found.values())
    assert largest_difference(found, expected) < 0.02


def threads_after_leaving(output: Path) -> tuple[set[str], set[str]]:
    """Names of the threads at the end of a run, and after the process left its group."""

    def names() -> set[str]:
        tasks = Path("/proc/self/task").iterdir()
        return {(task / "comm").read_text().strip() for task in tasks}

    result = train(output, method=make_method(dropout=0.0), batch_size=2, steps=2)
    assert weights(result) is not None
    before = names()
    leave()
    return before, names()


def test_no_thread_of_the_group_outlives_it(tmp_path):
    # One that frees a tensor while the interpreter goes down aborts the process now and then.
    before, after = run_forked(threads_after_leaving, tmp_path, world_size=2)
    assert any("gloo" in name for name in before)
    assert not any("gloo" in name for name in after)
