"""The transformer and both methods under each switch of the loop."""

import numpy as np
import pytest
import torch
from forked import run_forked
from tiny_distillation import run


def largest_difference(found, expected):
    assert found.keys() == expected.keys() and found
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected)


def on(world_size, output, kind, **settings):
    return run_forked(run, output, kind, world_size=world_size, batch_size=8 // world_size, **settings)


@pytest.mark.parametrize("lora", [False, True])
def test_flow_matching_is_the_same_alone_replicated_and_sharded(tmp_path, lora):
    alone = on(1, tmp_path / "alone", "flow", lora=lora)
    replicated = on(2, tmp_path / "replicated", "flow", lora=lora)
    sharded = on(2, tmp_path / "sharded", "flow", lora=lora, sharding="fsdp2")
    assert largest_difference(replicated, alone) < 1e-5
    assert largest_difference(sharded, alone) < 1e-5


@pytest.mark.parametrize("settings", [{"method": {"anchor_aware": True}}, {"lora": True}])
def test_cdm_is_the_same_replicated_and_sharded(tmp_path, settings):
    """Not alone: each process draws a schedule of its own for its rollout."""
    replicated = on(2, tmp_path / "replicated", "cdm", **settings)
    sharded = on(2, tmp_path / "sharded", "cdm", sharding="fsdp2", **settings)
    assert largest_difference(sharded, replicated) < 1e-5


@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_recomputed_blocks_change_nothing(tmp_path, sharding):
    world_size = 1 if sharding == "none" else 2
    plain = on(world_size, tmp_path / "plain", "flow", sharding=sharding)
    recomputed = on(
        world_size, tmp_path / "recomputed", "flow", sharding=sharding, gradient_checkpointing=True
    )
    assert largest_difference(recomputed, plain) < 1e-7


def test_bf16_trains_float32_weights(tmp_path):
    expected = run(tmp_path / "float32", "flow")
    found = run(tmp_path / "bf16", "flow", mixed_precision="bf16")
    assert all(array.dtype == np.float32 for array in found.values())
    # Adam moves each weight by about the learning rate a step, whichever way its small gradients point.
    assert 0 < largest_difference(found, expected) < 2 * 4 * 1e-3


def test_bf16_cdm_with_adapters_on_bf16_bases(tmp_path):
    for sharding in ("none", "fsdp2"):
        found = on(2, tmp_path / sharding, "cdm", lora=True, mixed_precision="bf16", sharding=sharding)
        assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in found.values())


def test_compiled_blocks_are_the_network_s_own(tmp_path):
    """Compiling takes a minute on a CPU, so here the compiled blocks fall back to Python."""
    plain = run(tmp_path / "plain", "flow")
    with torch.compiler.set_stance("force_eager"):
        compiled = run(tmp_path / "compiled", "flow", compile=True)
    assert largest_difference(compiled, plain) == 0
