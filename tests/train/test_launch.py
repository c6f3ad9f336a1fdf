"""The launch files in configs/accelerate/, as README's launch lines use them, on the CPU."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from safetensors.torch import save_file
from tiny_training import make_method, train, weights
from vision.processes import process_state

result = train(Path(sys.argv[1]), method=make_method(dropout=0.0), batch_size=int(sys.argv[2]), steps=6)
if process_state().is_main_process:
    save_file(weights(result), sys.argv[1] + "/weights.safetensors")
"""


def launch(folder: Path, output: str, batch_size: int, *options: str) -> subprocess.Popen:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        *options,
        str(script),
        str(folder / output),
    ]
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
    }
    return subprocess.Popen(
        [*command, str(batch_size)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*launched: subprocess.Popen) -> None:
    for process in launched:
        shown, _ = process.communicate(timeout=200)
        assert process.returncode == 0, shown


def config(name: str) -> tuple[str, str]:
    return "--config_file", str(ROOT / "configs" / "accelerate" / f"{name}.yaml")


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def same(folder: Path, first: str, second: str) -> bool:
    a, b = (load_file(folder / name / "weights.safetensors") for name in (first, second))
    return a.keys() == b.keys() and all(torch.allclose(a[key], b[key], rtol=0, atol=1e-6) for key in a)


def test_one_process_and_two_on_one_node(tmp_path):
    port = ("--main_process_port", free_port())
    finish(
        launch(tmp_path, "one", 8, *config("one_process")),
        launch(tmp_path, "two", 4, *config("one_node"), "--num_processes", "2", *port),
    )
    assert same(tmp_path, "one", "two")


@pytest.mark.slow
def test_two_nodes(tmp_path):
    port = free_port()
    options = (
        *config("several_nodes"),
        "--num_machines",
        "2",
        "--num_processes",
        "2",
        "--main_process_port",
        port,
    )
    finish(
        launch(tmp_path, "one", 8, *config("one_process")),
        launch(tmp_path, "two", 4, *options, "--machine_rank", "0"),
        launch(tmp_path, "two", 4, *options, "--machine_rank", "1"),
    )
    assert same(tmp_path, "one", "two")
