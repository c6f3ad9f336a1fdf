"""A run killed at any moment and resumed ends with the bits of one left alone."""

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from forked import Forked, run_forked
from tiny_training import Chase, make_networks, train

STEPS, SAVE_EVERY = 24, 3


class Watched(Chase):
    """Writes down what it is given, takes a moment over it, and can call the executioner in a step."""

    notes: Path
    kill_in_step: int | None = None
    kill_after: float = 0.0

    def losses(self, batch, draws):
        with open(self.notes, "a") as file:
            file.write(json.dumps([[draws.step, draws.first], batch["index"].tolist()]) + "\n")
        if draws.step == self.kill_in_step:
            threading.Timer(self.kill_after, os.kill, (os.getpid(), signal.SIGKILL)).start()
        time.sleep(0.002)
        return super().losses(batch, draws)


def run_watched(output: Path, lora: bool, workers: int, kill: dict | None = None, resume: str | None = None):
    """A run that is killed as ``kill`` says: at the ``write``-th file that reaches the disk, or some time
    after a step begins."""
    method = Watched(*make_networks(lora=lora))
    method.notes = output / "notes.jsonl"
    kill = kill or {}
    method.kill_in_step, method.kill_after = kill.get("step"), kill.get("after", 0.0)
    if "write" in kill:
        left = kill["write"]
        really_sync = os.fsync

        def sync(descriptor: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            really_sync(descriptor)

        os.fsync = sync
    output.mkdir(exist_ok=True)
    train(
        output,
        resume=resume,
        method=method,
        steps=STEPS,
        save_every=SAVE_EVERY,
        log_every=3,
        accumulation=2,
        loader_workers=workers,
    )


def last_checkpoint(output: Path) -> dict[str, bytes]:
    """Every file of the last checkpoint that does not name the run, and the log."""
    folder = output / "checkpoints" / f"step-{STEPS:08d}"
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    del files["recipe.yaml"], files["manifest.json"]
    return {**files, "log": (output / "log.jsonl").read_bytes()}


def data_order(output: Path) -> dict[tuple, list]:
    """The items of each micro-batch, the same each time that its step was begun."""
    order: dict[tuple, list] = {}
    for line in (output / "notes.jsonl").read_text().splitlines():
        micro_batch, items = json.loads(line)
        assert order.setdefault(tuple(micro_batch), items) == items
    return order


def check_kills(folder: Path, kills: int, seed: int) -> int:
    """Kills runs of each kind ``kills`` times, compares their ends, and returns how many died saving."""
    chance = random.Random(seed)
    died_saving = 0
    for lora in (False, True):
        for workers in (0, 2):
            alone = folder / f"alone-{lora}-{workers}"
            run_forked(run_watched, alone, lora, workers)
            expected, order = last_checkpoint(alone), data_order(alone)
            done = 0
            while done < kills:
                output = folder / f"killed-{lora}-{workers}-{done}"
                done += _kill_and_finish(output, lora, workers, min(5, kills - done), chance)
                died_saving += len(list(output.glob("died-saving-*")))
                found = last_checkpoint(output)
                assert found.keys() == expected.keys()
                assert [name for name in found if found[name] != expected[name]] == []
                assert data_order(output) == order
    return died_saving


def _kill_and_finish(output: Path, lora: bool, workers: int, kills: int, chance: random.Random) -> int:
    resume = None
    for count in range(kills):
        saved = sorted((output / "checkpoints").glob("step-*")) if resume else []
        begun = int(saved[-1].name.removeprefix("step-")) if saved else 0
        if count % 2 and begun < STEPS - 2 * SAVE_EVERY:
            step = chance.randrange(begun, min(begun + 6, STEPS - 6))
            kill = {"step": step, "after": chance.uniform(0, 0.02)}
        else:
            kill = {"write": chance.randint(1, 30 if begun < STEPS - 2 * SAVE_EVERY else 10)}
        (outcome,) = Forked(run_watched, output, lora, workers, kill, resume).outcomes()
        assert outcome.exit_code == -signal.SIGKILL, f"{kill} from step {begun}: {outcome}"
        if list((output / "checkpoints").glob(".saving-*")):
            (output / f"died-saving-{count}").touch()
        resume = "latest"
    run_forked(run_watched, output, lora, workers, None, "latest")
    return kills


def test_killed_runs_end_bit_equal(tmp_path):
    died_saving = check_kills(tmp_path, kills=5, seed=time.time_ns() % 1000)
    assert died_saving >= 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_runs_end_bit_equal_two_hundred_times(tmp_path):
    died_saving = check_kills(tmp_path, kills=50, seed=1)
    assert died_saving >= 40
