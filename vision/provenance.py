"""What a figure or a model was made with: code, libraries and machine."""

import platform
import subprocess
from pathlib import Path
from typing import Any

import diffusers
import torch

import vision


def machine_facts(device: torch.device) -> dict[str, Any]:
    """Versions of the code and of the libraries, the device's name and the number of CPU threads."""
    return {
        "code": code_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
    }


def code_version() -> str:
    """Version of the installed code and, in its own git checkout, the commit, with "-dirty" after edits."""
    root = Path(vision.__file__).parents[1]
    git = ["git", "--no-optional-locks", "-C", str(root)]
    if _output([*git, "rev-parse", "--show-toplevel"]) != str(root.resolve()):
        return vision.__version__
    commit = _output([*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
    return f"{vision.__version__} ({commit})" if commit else vision.__version__


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        described = Path("/proc/cpuinfo")
        lines = described.read_text(encoding="utf-8").splitlines() if described.is_file() else []
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, platform.processor() or platform.machine())
    return device.type


def _output(command: list[str]) -> str | None:
    """What a command prints; None where it is not installed or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
