"""The loop: cadence, accumulation, precision, what it refuses, what it reports."""

import json
import os
import signal
import sys
import time

import pytest
import torch
from forked import Forked, run_forked
from PIL import Image
from tiny_training import Chase, Network, Numbers, make_method, make_networks, train, weights
from torch import nn

from train.data.batches import Batches
from train.data.order import EpochOrder
from train.finite import NonFiniteError
from train.interrupts import Interrupts
from train.methods.method import Loss, Method
from train.placement import cast_weights
from train.previews import Pictures, Preview
from train.sharding import shard_network


def records(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def all_equal(found, expected):
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


def test_each_network_is_updated_at_its_own_pace(tmp_path):
    method = make_method()
    result = train(tmp_path, method=method, steps=7, log_every=1, warmup_steps=4, lr_schedule="constant")
    assert method.updates == {"fake": 7, "student": 3}
    assert result.networks["fake"].update_count == 7 and result.networks["student"].update_count == 3
    log = records(tmp_path)
    assert [record["step"] for record in log] == list(range(1, 8))
    assert [("loss/student" in record, "student/matching" in record) for record in log] == [
        (step % 2 == 0, step % 2 == 0) for step in range(1, 8)
    ]
    # The learning rate is counted in each network's own optimizer steps.
    assert [record["lr/fake"] for record in log] == pytest.approx([0.0025, 0.005, 0.0075] + 4 * [0.01])
    assert [record["lr/student"] for record in log][1::2] == pytest.approx([0.0025, 0.005, 0.0075])


def test_later_optimizers_see_what_earlier_ones_did(tmp_path):
    """The fake steps first, so the student's loss is computed with the new fake."""
    seen = []

    class Watching(Chase):
        def _student(self, x):
            seen.append(dict(self.updates))
            return super()._student(x)

    train(tmp_path, method=Watching(*make_networks()), steps=4)
    assert seen == [{"fake": 2, "student": 0}, {"fake": 4, "student": 1}]


@pytest.mark.parametrize("accumulation", [2, 3])
def test_accumulated_micro_batches_are_one_large_batch(tmp_path, accumulation):
    whole = train(tmp_path / "whole", method=make_method(dropout=0.0), batch_size=12)
    parts = train(
        tmp_path / "parts",
        method=make_method(dropout=0.0),
        batch_size=12 // accumulation,
        accumulation=accumulation,
    )
    expected, found = weights(whole), weights(parts)
    assert max((found[name] - expected[name]).abs().max().item() for name in expected) < 1e-6


def test_only_what_requires_a_gradient_is_trained_saved_and_averaged(tmp_path):
    method = make_method(lora=True)
    before = {name: value.clone() for name, value in method.networks["student"].state_dict().items()}
    result = train(tmp_path, method=method)
    trained = result.weights("student")
    assert trained and all("lora_" in name for name in trained)
    after = method.networks["student"].state_dict()
    assert {name for name in after if not torch.equal(after[name], before[name])} == trained.keys()
    (checkpoint,) = (tmp_path / "checkpoints").glob("step-00000012")
    assert (checkpoint / "networks" / "student.safetensors").stat().st_size < 5000


def test_the_result_offers_the_average_where_one_is_kept(tmp_path):
    result = train(tmp_path)
    student, average = result.weights("student", ema=False), result.weights("student")
    assert not all_equal(average, student)
    assert all_equal(result.weights("fake"), result.weights("fake", ema=False))


def test_weights_are_float32_masters_and_frozen_ones_bfloat16(tmp_path):
    method = make_method(lora=True)
    types = set()

    class Spy(nn.Module):
        def forward(self, x):
            types.add(x.dtype)
            return x

    student = method.networks["student"]
    assert isinstance(student, Network)
    student.register_module("last", nn.Sequential(student.last, Spy()))
    train(tmp_path, method=method, mixed_precision="bf16", steps=2)
    for name, parameter in method.networks["student"].named_parameters():
        assert parameter.dtype == (torch.float32 if "lora_" in name else torch.bfloat16)
    assert {parameter.dtype for parameter in method.frozen["teacher"].parameters()} == {torch.bfloat16}
    assert types == {torch.bfloat16}


def test_modules_to_keep_in_float32_are_kept():
    network = nn.Sequential()
    network.norm, network.body = nn.LayerNorm(3), nn.Linear(3, 3)
    network.requires_grad_(False)
    network.__dict__["_keep_in_fp32_modules"] = ["norm"]
    cast_weights(network, bf16=True)
    assert network.norm.weight.dtype == torch.float32 and network.body.weight.dtype == torch.bfloat16


class Breaking(Chase):
    """Breaks one network's loss or gradient in its fifth update."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(*make_networks())
        self.where, self.what = where, what
        self.held: dict[str, torch.Tensor] = {}

    def _broken(self, name: str, loss: Loss) -> Loss:
        if name != self.where or self.updates[name] != 2:
            return loss
        self.held = {key: value.clone() for key, value in self.networks[name].state_dict().items()}
        if self.what == "loss":
            return Loss(loss.value * float("inf"))
        # sqrt has an infinite slope at 0, and infinity times 0 is not a number; the loss stays as it was.
        return Loss(loss.value + (next(self.networks[name].parameters()).sum() * 0).abs().sqrt())

    def _fake(self, x):
        return self._broken("fake", super()._fake(x))

    def _student(self, x):
        return self._broken("student", super()._student(x))


@pytest.mark.parametrize("where", ["fake", "student"])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_non_finite_number_stops_the_run_before_it_reaches_the_weights(tmp_path, where, what):
    method = Breaking(where, what)
    with pytest.raises(NonFiniteError) as stopped:
        train(tmp_path, method=method, save_every=2)
    step = {"fake": 3, "student": 6}[where]
    assert all_equal(dict(method.networks[where].state_dict()), method.held)
    message = str(stopped.value)
    assert f"step {step} " in message and ("loss/" if what == "loss" else "grad_norm/") + where in message
    assert f"step-0000000{(step - 1) // 2 * 2}" in message


def test_a_non_finite_number_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(NonFiniteError, match="checkpoint is none"):
        train(tmp_path, method=Breaking("fake", "loss"), save_every=100)


def test_gradients_are_clipped_for_each_network_by_itself(tmp_path):
    method = make_method()
    norms = {}

    class Probe(torch.optim.SGD):
        def step(self):
            gradients = [p.grad for p in self.param_groups[0]["params"]]
            norms.setdefault(len(norms), torch.nn.utils.get_total_norm(gradients).item())

    import train.trained_network as module

    before = module.make_optimizer
    module.make_optimizer = lambda parameters, recipe, name: Probe(parameters.values(), lr=0.1)
    try:
        train(tmp_path, method=method, steps=2, clip_grad_norm=1e-3, log_every=1, save_every=100)
    finally:
        module.make_optimizer = before
    assert list(norms.values()) == pytest.approx([1e-3] * 3, rel=1e-2)
    assert records(tmp_path)[1]["grad_norm/student"] > 1e-2  # logged as it was before


def test_eight_bits_without_bitsandbytes_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim.adamw", None)
    with pytest.raises(ValueError, match="pip install bitsandbytes"):
        train(tmp_path, eight_bit=True)
    with pytest.raises(ValueError, match="sharding: none"):
        train(tmp_path, eight_bit=True, sharding="fsdp2")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient_checkpointing": True}, "train.gradient_checkpointing: false"),
        ({"compile": True}, "train.compile: false"),
    ],
)
def test_switches_that_a_network_lacks_are_errors(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path, **settings)


def test_a_network_without_blocks_is_not_sharded():
    with pytest.raises(ValueError, match="sharding: none"):
        shard_network(nn.Linear(2, 2), None, bf16=False)  # pyright: ignore[reportArgumentType]


class Unreachable(Method):
    """A loss that its network has no part in."""

    def losses(self, batch, draws):
        return {"model": lambda: Loss(torch.ones((), requires_grad=True) * 2)}


def test_a_loss_that_reaches_no_weight_is_an_error(tmp_path):
    method = Unreachable(
        {"model": nn.Linear(2, 2), "student": nn.Linear(2, 2)}, {}, {"model": 1, "student": 9}
    )
    with pytest.raises(ValueError, match="'model' depends on none of its trained parameters"):
        train(tmp_path, method=method)


def test_a_network_without_trained_weights_is_an_error(tmp_path):
    method = make_method()
    method.networks["fake"].requires_grad_(False)
    with pytest.raises(ValueError, match="nothing of the network 'fake' requires a gradient"):
        train(tmp_path, method=method)


def test_previews_leave_no_trace(tmp_path):
    drawn = []

    def preview(step, networks):
        student = networks["student"]
        assert not student.training and not torch.is_grad_enabled()
        drawn.append(step)
        student(torch.randn(2, 6))
        return Pictures([Image.new("RGB", (4, 4))])

    method = make_method(dropout=0.3)
    with_previews = train(tmp_path / "a", method=method, preview=Preview(preview), preview_every=5)
    without = train(tmp_path / "b", method=make_method(dropout=0.3))
    assert all_equal(weights(with_previews), weights(without))
    assert method.networks["student"].training
    assert drawn == [5, 10]
    assert sorted(path.name for path in (tmp_path / "a" / "previews").iterdir()) == [
        "step-00000005.png",
        "step-00000010.png",
    ]


def test_previews_are_drawn_with_averaged_weights(tmp_path):
    drawn = {}

    def preview(step, networks):
        drawn.update((name, value.detach().clone()) for name, value in networks["student"].named_parameters())

    result = train(tmp_path, preview=Preview(preview), preview_every=12)
    assert all_equal(drawn, result.weights("student"))
    assert not list((tmp_path / "previews").iterdir())  # None draws nothing


def test_reports(tmp_path):
    train(tmp_path, tracker="tensorboard")
    assert Image.open(tmp_path / "curves.png").size[0] > 300
    assert list((tmp_path / "tensorboard").glob("events.*"))
    assert [record["step"] for record in records(tmp_path)] == [3, 6, 9, 12]


def test_log_is_cut_back_to_the_checkpoint_and_goes_on(tmp_path):
    train(tmp_path / "whole", log_every=5)
    train(tmp_path / "parts", log_every=5, steps=12, keep_last=9)
    log = tmp_path / "parts" / "log.jsonl"
    whole = (tmp_path / "whole" / "log.jsonl").read_text()
    (tmp_path / "parts" / "checkpoints" / "step-00000012").rename(tmp_path / "away")
    log.write_text(log.read_text() + '{"step": 11, "loss/fake": 7.0}\n{"step": 12, "lo')
    train(tmp_path / "parts", log_every=5, resume="latest")
    assert log.read_text() == whole


_left_open = []


def leave_a_loader_open():
    loader = Batches(Numbers(), EpochOrder(40), 0).loader(0, batch_size=4, workers=2)
    next(loader)
    _left_open.append(loader)


def test_a_process_ends_although_its_loader_is_open():
    run_forked(leave_a_loader_open)


def slow_run(output):
    class Slow(Chase):
        def losses(self, batch, draws):
            time.sleep(0.02)
            return super().losses(batch, draws)

    output.mkdir(exist_ok=True)
    (output / "begun").touch()
    # A group of its own, as a scheduler or a terminal signals it: the loader's workers are in it.
    os.setpgrp()
    train(output, method=Slow(*make_networks()), steps=400, save_every=1000, loader_workers=2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_finish_saves_and_leaves(tmp_path, number):
    run = Forked(slow_run, tmp_path)
    while not (tmp_path / "log.jsonl").exists() or not (tmp_path / "log.jsonl").read_text():
        assert run.processes[0].is_alive()
        time.sleep(0.01)
    os.killpg(run.processes[0].pid, number)
    (outcome,) = run.outcomes()
    assert outcome.exit_code == 128 + number, outcome.error
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    step = int(checkpoint.name.removeprefix("step-"))
    resumed = train(tmp_path, steps=step + 3, resume="latest", save_every=1000)
    alone = train(tmp_path / "alone", steps=step + 3, save_every=1000)
    # Another length has another course of the learning rate, so only the counts are compared here.
    assert resumed.networks["fake"].update_count == alone.networks["fake"].update_count


def test_a_second_ctrl_c_stops_at_once_and_a_forwarded_one_does_not():
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the launcher's copy of the same one
        assert interrupts.requested == signal.SIGINT
        interrupts._since -= 2
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def interrupted_on_one_rank(output):
    if int(os.environ["RANK"]) == 1:
        method = make_method()

        class Asking(Chase):
            def losses(self, batch, draws):
                if draws.step == 4:
                    os.kill(os.getpid(), signal.SIGTERM)
                return super().losses(batch, draws)

        method.__class__ = Asking
    else:
        method = make_method()
    train(output, method=method, save_every=1000)


def test_processes_stop_in_the_same_step_when_one_is_asked(tmp_path):
    outcomes = Forked(interrupted_on_one_rank, tmp_path, world_size=2).outcomes()
    assert [outcome.exit_code for outcome in outcomes] == [128 + signal.SIGTERM] * 2
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]


def broken_on_one_rank(output):
    method = Breaking("fake", "loss") if int(os.environ["RANK"]) == 1 else make_method()
    with pytest.raises(NonFiniteError):
        train(output, method=method)


def test_processes_stop_together_when_one_is_not_finite(tmp_path):
    run_forked(broken_on_one_rank, tmp_path, world_size=2)
