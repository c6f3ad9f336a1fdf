"""Batch inference from a prompt file.

python -m infer.generate --model checkpoints/student --prompts prompts.txt --out outputs/pictures
accelerate launch -m infer.generate --model ...
"""

import sys
import warnings
from collections.abc import Sequence

from infer.options import parse_options


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = parse_options(argv)
    from infer.batch import draw_batch

    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
            outcome = draw_batch(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"error: {error}; pictures already written are whole, and the same command goes on with them",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    if outcome.main:
        print(f"{outcome.made} pictures drawn, {outcome.kept} were there already")
        print(f"pictures  {options.out}")
        print(f"records   {options.out / 'pictures.jsonl'}")
        print(f"overview  {outcome.overview}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
