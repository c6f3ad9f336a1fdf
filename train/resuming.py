"""Which checkpoint a run goes on from, and whether its recipe is the same."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from accelerate.utils import broadcast_object_list

from train.manifest import BrokenCheckpointError, verify
from train.processes import failing_together, say
from train.recipes.yaml_text import read_yaml
from vision.processes import process_state

#: What may change when a run goes on: how long it is, and what it reports and keeps.
_FREE = {
    "train.steps",
    "train.output",
    "train.save_every",
    "train.keep_last",
    "train.log_every",
    "train.preview_every",
    "train.tracker",
    "train.loader_workers",
}
_FREE_PARTS = ("preview.",)


def choose_checkpoint(checkpoints: Path, resume: str) -> Path | None:
    """The checkpoint that ``--resume`` means, verified; None where ``latest`` finds none to go on from.

    With an older checkpoint of this folder, newer ones are set aside in ``checkpoints/superseded``, so
    that ``latest`` stays on the branch that goes on.

    Args:
        checkpoints: the run's folder of checkpoints.
        resume: ``latest`` or the path of a checkpoint.

    Raises:
        BrokenCheckpointError: the named one is not whole, or none of those that exist is.
    """
    chosen: list[Path | None] = [None]
    with failing_together():
        if process_state().is_main_process:
            latest = resume == "latest"
            chosen[0] = _newest_whole(checkpoints) if latest else _named(checkpoints, Path(resume))
    broadcast_object_list(chosen)
    return chosen[0]


def check_recipe(
    checkpoint: Path, recipe: dict, same_global_batch: bool, also_free: Iterable[str] = ()
) -> None:
    """Raises ValueError naming the keys in which ``recipe`` differs from the checkpoint's, if it may not.

    Args:
        checkpoint: with its ``recipe.yaml``.
        recipe: the resolved recipe of this run.
        same_global_batch: whether an iteration still takes as many samples over all processes; then they
            may be cut into micro-batches otherwise, as another number of processes needs it.
        also_free: further keys that may differ.
    """
    free = (
        _FREE | set(also_free) | ({"train.batch_size", "train.accumulation"} if same_global_batch else set())
    )
    saved, _ = read_yaml((checkpoint / "recipe.yaml").read_text(encoding="utf-8"))
    before, now = _flat(saved), _flat(recipe)
    different = [
        key
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key) and key not in free and not key.startswith(_FREE_PARTS)
    ]
    if different:
        changes = "; ".join(
            f"{key} was {before.get(key, 'absent')} and is {now.get(key, 'absent')}" for key in different
        )
        raise ValueError(
            f"{checkpoint} was made with another recipe: {changes}. Take these back, or start another run "
            f"in another train.output"
        )


def _newest_whole(checkpoints: Path) -> Path | None:
    existing = sorted(checkpoints.glob("step-*"), reverse=True)
    reasons = []
    for checkpoint in existing:
        try:
            verify(checkpoint)
        except BrokenCheckpointError as error:
            reasons.append(str(error))
            say(f"passed over {checkpoint.name}: {error}")
        else:
            return checkpoint
    if existing:
        raise BrokenCheckpointError(
            f"none of the {len(existing)} checkpoints in {checkpoints} is whole: {'; '.join(reasons)}. "
            f"Remove them to start from the beginning"
        )
    return None


def _named(checkpoints: Path, checkpoint: Path) -> Path:
    if not checkpoint.is_dir():
        raise BrokenCheckpointError(
            f"--resume names {checkpoint}, which is not a folder; expected `latest` or a checkpoint like "
            f"{checkpoints / 'step-00000500'}"
        )
    verify(checkpoint)
    existing = sorted(checkpoints.glob("step-*"))
    if checkpoint.resolve().parent == checkpoints.resolve():
        for newer in (other for other in existing if other.name > checkpoint.name):
            aside = checkpoints / "superseded" / newer.name
            if aside.exists():
                shutil.rmtree(aside)
            aside.parent.mkdir(exist_ok=True)
            newer.rename(aside)
            say(f"{newer.name} is newer than {checkpoint.name} and was moved to {aside}")
    elif existing:
        raise ValueError(
            f"{checkpoints.parent} already holds a run ({existing[-1].name}), so it cannot take over "
            f"{checkpoint}; choose another train.output"
        )
    return checkpoint


def _flat(tree: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
