"""Checkpoints: written aside, described by a manifest, renamed; so one is there whole or not at all.

A checkpoint is safetensors and JSON only:

    step-00000500/manifest.json, recipe.yaml, trainer.json
                  networks/<name>.safetensors    trained parameters
                  ema/<name>.safetensors         their moving average
                  optimizers/<name>.safetensors  moments, named <moment>/<parameter>
                  random/rank-<r>.safetensors, rank-<r>.json

With train.sharding: fsdp2 each <name>.safetensors is a folder <name>/ with a file from each process. The
folder must lie on storage that all processes of the run share.
"""

import json
import platform
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

import vision
from train import manifest, random_states
from train.optimizers import empty_state
from train.processes import failing_together
from train.recipes.yaml_text import write_yaml
from train.tensor_files import Header, read_tensors, sync, write_tensors
from train.trained_network import TrainedNetwork
from vision.processes import process_device, process_state

FORMAT = 1
_SAVING, _DELETING = ".saving-", ".deleting-"


def step_name(step: int) -> str:
    """Name of the checkpoint after ``step`` iterations; names sort as steps do."""
    return f"step-{step:08d}"


def save_checkpoint(
    folder: Path, step: int, networks: dict[str, TrainedNetwork], progress: dict, recipe: dict
) -> Path:
    """Saves the run after ``step`` iterations as ``folder/step-<step>``; all processes call it.

    Args:
        folder: the run's checkpoints.
        step: iterations done.
        networks: what is trained.
        progress: what else the loop wants back, as JSON.
        recipe: the resolved recipe.

    Raises:
        ValueError: it could not be written; what had been written is removed, older checkpoints stay.
    """
    state = process_state()
    saving, target = folder / (_SAVING + step_name(step)), folder / step_name(step)
    try:
        with failing_together():
            if state.is_main_process:
                remove_leftovers(folder)
                saving.mkdir(parents=True)
        for name, trained in networks.items():
            tensors, _ = trained.optimizer_state()
            with failing_together():
                write_tensors(saving / "networks" / name, trained.parameters)
            with failing_together():
                write_tensors(saving / "optimizers" / name, tensors)
            if trained.average is not None:
                with failing_together():
                    write_tensors(saving / "ema" / name, trained.average.weights)
        with failing_together():
            _write_random_states(saving / "random", state)
            if state.is_main_process:
                manifest.write_json(saving / "trainer.json", _describe(step, networks, progress))
                (saving / "recipe.yaml").write_text(write_yaml(recipe), encoding="utf-8")
                sync(saving / "recipe.yaml")
        with failing_together():
            hashed = manifest.hash_share(saving, state.process_index, state.num_processes)
        files = dict(sorted(gather_object(hashed) if state.num_processes > 1 else hashed))
        with failing_together():
            if state.is_main_process:
                facts = {"format": FORMAT, "step": step, "versions": _versions()}
                manifest.write_manifest(saving, files, facts)
                _remove(target)
                saving.rename(target)
                sync(folder)
    except (OSError, SafetensorError, CheckpointException, ValueError) as error:
        if state.is_main_process:
            shutil.rmtree(saving, ignore_errors=True)
        raise ValueError(
            f"the checkpoint of step {step} could not be saved in {folder}: {error}. What had been written "
            f"is removed, older checkpoints are untouched; make room and go on with --resume latest"
        ) from error
    return target


def read_progress(folder: Path) -> tuple[int, dict]:
    """Iterations done and ``progress`` as :func:`save_checkpoint` was given them."""
    described = _read_description(folder)
    return described["step"], described["progress"]


def load_checkpoint(folder: Path, networks: dict[str, TrainedNetwork]) -> None:
    """Loads weights, averages and optimizers from a checkpoint whose manifest has been verified.

    Raises:
        ValueError: the checkpoint is of other networks.
    """
    described = _read_description(folder)
    _check_architecture(folder, described["architecture"], networks)
    for name, trained in networks.items():
        read_tensors(folder / "networks" / name, _into(folder, trained.parameters))
        if trained.average is not None:
            read_tensors(folder / "ema" / name, _into(folder, trained.average.weights))
        numbers = described["optimizers"][name]
        state = read_tensors(folder / "optimizers" / name, partial(empty_state, trained.parameters))
        trained.load_optimizer_state(state, numbers)
        trained.update_count = described["updates"][name]


def restore_random_states(folder: Path, seed: int, step: int) -> None:
    """Restores this process's random states; a process that the saved run did not have is seeded afresh."""
    state = process_state()
    file = folder / "random" / f"rank-{state.process_index}.json"
    if file.is_file():
        numbers = json.loads(file.read_text(encoding="utf-8"))
        tensors = load_file(file.with_suffix(".safetensors"))
        random_states.restore_random_states(tensors, numbers, process_device())
    else:
        random_states.seed_process(seed, state.process_index, step)


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed run was writing or deleting."""
    for leftover in (*folder.glob(_SAVING + "*"), *folder.glob(_DELETING + "*")):
        shutil.rmtree(leftover)


def rotate(folder: Path, keep_last: int) -> None:
    """Removes all but the newest ``keep_last`` checkpoints, the newest being whole; all processes call it."""
    with failing_together():
        if process_state().is_main_process:
            for old in sorted(folder.glob("step-*"))[:-keep_last]:
                _remove(old)


def _remove(checkpoint: Path) -> None:
    # Renamed first: a checkpoint that is half deleted must not look like one.
    if checkpoint.exists():
        doomed = checkpoint.with_name(_DELETING + checkpoint.name)
        checkpoint.rename(doomed)
        shutil.rmtree(doomed)


def _write_random_states(folder: Path, state: PartialState) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors, numbers = random_states.random_states(process_device())
    file = folder / f"rank-{state.process_index}.safetensors"
    save_file(tensors, file)
    sync(file)
    manifest.write_json(file.with_suffix(".json"), numbers)


def _describe(step: int, networks: dict[str, TrainedNetwork], progress: dict) -> dict:
    return {
        "step": step,
        "updates": {name: trained.update_count for name, trained in networks.items()},
        "optimizers": {name: trained.optimizer_state()[1] for name, trained in networks.items()},
        "progress": progress,
        "architecture": {name: trained.architecture() for name, trained in networks.items()},
    }


def _read_description(folder: Path) -> dict:
    return json.loads((folder / "trainer.json").read_text(encoding="utf-8"))


def _versions() -> dict[str, str]:
    return {"atelier": vision.__version__, "torch": torch.__version__, "python": platform.python_version()}


def _into(folder: Path, tensors: Mapping[str, Tensor]) -> Callable[[Header], dict[str, Tensor]]:
    def targets(header: Header) -> dict[str, Tensor]:
        if header.keys() != tensors.keys():
            different = sorted(header.keys() ^ tensors.keys())
            raise ValueError(f"{folder} and the network differ in {len(different)} tensors: {different[:3]}")
        return {name: tensor.detach() for name, tensor in tensors.items()}

    return targets


def _check_architecture(folder: Path, saved: dict[str, dict], networks: dict[str, TrainedNetwork]) -> None:
    if saved.keys() != networks.keys():
        raise ValueError(
            f"{folder} is a checkpoint of the networks {list(saved)}, and this run trains {list(networks)}"
        )
    for name, trained in networks.items():
        here = trained.architecture()
        different = [key for key in {**saved[name], **here} if saved[name].get(key) != here.get(key)]
        if different:
            key = different[0]
            raise ValueError(
                f"{folder} is a checkpoint of another architecture: {len(different)} trained tensors of "
                f"{name!r} differ, the first {key}, which is {saved[name].get(key, 'absent')} there and "
                f"{here.get(key, 'absent')} here; resume with the recipe that the checkpoint carries "
                f"({folder / 'recipe.yaml'})"
            )
