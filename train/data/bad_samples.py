"""What becomes of samples that cannot be used."""

import warnings


def report_bad(kind: str, bad: list[str], good: int, max_bad_share: float) -> None:
    """Says which samples are left out, or stops where they are too many.

    Args:
        kind: what they are, for instance "pictures".
        bad: a line on each, which names it.
        good: number of the others.
        max_bad_share: ``data.max_bad_share`` of the recipe.

    Raises:
        ValueError: the bad ones are a larger share, or none is good.
    """
    if not bad:
        return
    total = good + len(bad)
    lines = "\n  ".join(bad)
    if good == 0 or len(bad) > max_bad_share * total:
        raise ValueError(
            f"{len(bad)} of {total} {kind} cannot be used, more than data.max_bad_share = "
            f"{max_bad_share:g} allows; repair or remove them:\n  {lines}"
        )
    warnings.warn(f"{len(bad)} of {total} {kind} cannot be used and are left out:\n  {lines}", stacklevel=3)
