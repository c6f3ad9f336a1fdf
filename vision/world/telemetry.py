"""Tables of gamepad telemetry as in CrossFPS (SCOPE, arXiv 2605.23345): parquet in and out.

Legend: T rows. Columns are found by name, never by place: six buttons (seventeen in some files) and the two
sticks as lists [x, y].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vision.world.bad_clip import BadClipError
from vision.world.gamepad import BUTTON_COLUMNS, STICK_COLUMNS, checked_sign

#: The names that a clip's table has had; where a folder holds several, the first of these counts.
TELEMETRY_NAMES = ("actions_raw.parquet", "actions.parquet", "action.parquet")
_TRIGGERS = ("right_trigger", "left_trigger")
_EXPECTED = (*BUTTON_COLUMNS, *STICK_COLUMNS)


@dataclass(frozen=True)
class Telemetry:
    """Rows of controls.

    Attributes:
        sticks: float32, shape (T, 4), in [-1, 1], LY < 0 walks forward.
        buttons: float32, shape (T, 6), 0 or 1.
    """

    sticks: np.ndarray
    buttons: np.ndarray


def write_telemetry(
    path: Path, sticks: np.ndarray, buttons: np.ndarray, logged: Mapping[str, np.ndarray]
) -> None:
    """Writes a table with further columns of logged values.

    Args:
        path: with the ending ``.parquet``.
        sticks: shape (T, 4).
        buttons: shape (T, 6).
        logged: more columns by name, each of shape (T,).
    """
    columns: dict[str, np.ndarray | list[list[float]]] = {
        name: buttons[:, place].astype(np.float64) for place, name in enumerate(BUTTON_COLUMNS)
    }
    for place, name in enumerate(STICK_COLUMNS):
        columns[name] = sticks[:, 2 * place : 2 * place + 2].astype(np.float64).tolist()
    pq.write_table(pa.table({**columns, **logged}), path)


def read_telemetry(path: Path, forward_sign: int = -1) -> Telemetry:
    """Reads a table; further columns are left alone.

    Args:
        path: of the parquet file.
        forward_sign: the sign of LY that walks forward in the file, -1 or 1. What is returned has -1.

    Raises:
        BadClipError: the file is damaged, a column is missing or of another form, or a value is NaN or out of
            range. Triggers may lie between 0 and 1 and count as pressed from 0.5 on.
        ValueError: no such sign.
    """
    checked_sign(forward_sign)
    try:
        with pq.ParquetFile(path) as file:
            _check_names(path, file.schema_arrow.names)
            table = file.read(columns=list(_EXPECTED))
    except (pa.ArrowException, OSError) as error:
        raise BadClipError("unreadable", f"{path}: not a whole parquet file ({error})") from error
    if table.num_rows == 0:
        raise BadClipError("too short", f"{path}: the table has no rows")
    values = {name: _values(path, table, name) for name in _EXPECTED}
    buttons = np.stack([values[name] for name in BUTTON_COLUMNS], 1)
    sticks = np.concatenate([values[name] for name in STICK_COLUMNS], 1)
    sticks[:, 1] *= -forward_sign
    return Telemetry(sticks.astype(np.float32), buttons.astype(np.float32))


def _check_names(path: Path, found: list[str]) -> None:
    missing = [name for name in _EXPECTED if found.count(name) != 1]
    if missing:
        raise BadClipError(
            "columns",
            f"{path}: no column {', '.join(missing)}, or several; found {', '.join(found) or 'none'}, "
            f"expected {', '.join(_EXPECTED)} in any order",
        )


def _values(path: Path, table: pa.Table, name: str) -> np.ndarray:
    """A checked column, float64: shape (T, 2) of a stick, (T,) of a button."""
    shape = (table.num_rows, 2) if name in STICK_COLUMNS else (table.num_rows,)
    try:
        values = np.array(table[name].to_pylist(), np.float64)
    except (ValueError, TypeError) as error:
        raise BadClipError("columns", f"{path}: column {name} is {table[name].type} ({error})") from error
    if values.shape != shape:
        raise BadClipError("columns", f"{path}: column {name} has the shape {values.shape}, expected {shape}")
    low = -1 if name in STICK_COLUMNS else 0
    inside = (values >= low) & (values <= 1)  # False for NaN
    if name in _TRIGGERS:
        pressed = (values >= 0.5).astype(np.float64)
    elif name in BUTTON_COLUMNS:
        inside &= np.isin(values, (0, 1))
        pressed = values
    else:
        pressed = values
    if not inside.all():
        row = int(np.argwhere(~inside)[0, 0])
        kind = "[-1, 1]" if low else "[0, 1]" if name in _TRIGGERS else "{0, 1}"
        raise BadClipError(
            "values",
            f"{path}: column {name} is {table[name][row].as_py()} in row {row}, expected values in {kind}; "
            "clip or drop them where the table is made",
        )
    return pressed
