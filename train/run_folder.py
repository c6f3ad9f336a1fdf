"""The folder of a run, held by one run at a time."""

import fcntl
import json
import os
import platform
import time
from pathlib import Path

from train.checkpoint import remove_leftovers
from train.processes import failing_together
from train.recipes.yaml_text import write_yaml
from vision.processes import process_state

_held_locks: set[int] = set()


def _close_held_locks() -> None:
    for descriptor in _held_locks:
        os.close(descriptor)


# A forked loader worker outlives a killed run by seconds; its copy of the descriptor would keep the lock.
os.register_at_fork(after_in_child=_close_held_locks)


class RunFolder:
    """Paths of a run's files, locked inside its ``with`` block; all processes of the run enter it.

        recipe.yaml, log.jsonl, sessions.jsonl, curves.png, health.png, health.json, tensorboard/
        previews/step-00000500.png, teacher.png
        checkpoints/step-00000500/
        final/                                  what the entry point makes of the result

    Args:
        path: the folder; it is created on entry.
        resume: what ``--resume`` says, if anything.

    Raises:
        ValueError: on entry, if another run holds the folder, or if it has checkpoints and
            ``resume`` is None.
    """

    def __init__(self, path: str | Path, resume: str | None = None) -> None:
        self.path = Path(path)
        self.resume = resume
        self.recipe = self.path / "recipe.yaml"
        self.log = self.path / "log.jsonl"
        self.sessions = self.path / "sessions.jsonl"
        self.curves = self.path / "curves.png"
        self.health_panel = self.path / "health.png"
        self.health = self.path / "health.json"
        self.previews = self.path / "previews"
        self.reference = self.previews / "teacher.png"
        self.checkpoints = self.path / "checkpoints"
        self.final = self.path / "final"
        self._lock: int | None = None

    def __enter__(self) -> "RunFolder":
        try:
            with failing_together():
                if process_state().is_main_process:
                    self._enter()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def write_recipe(self, recipe: dict) -> None:
        """Writes the resolved recipe, from the main process."""
        if process_state().is_main_process:
            self.recipe.write_text(write_yaml(recipe), encoding="utf-8")

    def _enter(self) -> None:
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.previews.mkdir(exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"{self.path} cannot be made a run folder: {error}; choose another train.output"
            ) from error
        self._acquire()
        existing = sorted(self.checkpoints.glob("step-*"))
        if existing and self.resume is None:
            raise ValueError(
                f"{self.path} already holds a run ({existing[-1].name}); go on with it by --resume latest, "
                f"or choose another folder with --train.output"
            )
        remove_leftovers(self.checkpoints)

    def _acquire(self) -> None:
        path = self.path / ".lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text(encoding="utf-8") or "unknown"
            os.close(lock)
            raise ValueError(
                f"another run is using {self.path} ({holder}); wait for it or choose another train.output"
            ) from None
        self._lock = lock
        _held_locks.add(lock)
        facts = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(lock, 0)
        os.write(lock, json.dumps(facts).encode())

    def _release(self) -> None:
        if self._lock is not None:
            _held_locks.discard(self._lock)
            os.close(self._lock)
            self._lock = None
