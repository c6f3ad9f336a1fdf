"""How command lines read numbers and end; imports nothing heavy."""

import argparse
import math
import sys
import warnings
from collections.abc import Callable


def exit_status(work: Callable[[], int | None], *, whole: str = "", needs: str = "") -> int:
    """Runs a command that goes on where it stopped, and says in a line what it warns of and what ends it.

    Args:
        work: the command; it returns its exit status, None for 0.
        whole: what is whole on the disk after an error of the file system, such as "clips".
        needs: what to do where a package is missing; "" lets that error pass.

    Returns:
        the status: 2 after a mistake, 130 after Ctrl-C.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
            return work() or 0
    except ModuleNotFoundError as error:
        if not needs:
            raise
        print(f"error: {error}; {needs}", file=sys.stderr)
    except OSError as error:
        after = f"; {whole} already written are whole, and the same command goes on" if whole else ""
        print(f"error: {error}{after}", file=sys.stderr)
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 2


def at_least_one(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected at least 1")
    return value


def not_negative(text: str) -> int:
    """A whole number from 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"found {text}, expected at least 0")
    return value


def finite(text: str) -> float:
    """A number that is neither infinite nor none."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"found {text}, expected a finite number")
    return value


def height_x_width(text: str) -> tuple[int, int]:
    """Height and width in pixels, such as "64x96"."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected height x width such as 96x72")
    return int(height), int(width)


def number_range(text: str) -> tuple[int, int]:
    """Two whole numbers such as "1-3", or one that is both."""
    least, _, most = text.partition("-")
    most = most or least
    if not (least.isdecimal() and most.isdecimal() and int(least) <= int(most)):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a range such as 1-3, or a number")
    return int(least), int(most)
