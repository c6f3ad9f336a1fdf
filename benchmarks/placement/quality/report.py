"""The page of the comparison: noise first, then the table, the differences, and what an adapter costs."""

import math
import statistics
from pathlib import Path

import torch

from benchmarks.placement.quality.figures import LAYERS, ROWS, ZERO_OUT, Figures, standard_error
from benchmarks.placement.quality.plot import draw_placements
from benchmarks.placement.quality.runs import (
    FULL,
    LARGEST_SHARE,
    SOURCE,
    TARGET,
    TUNING_RATE,
    UNIFORM,
    Comparison,
)
from benchmarks.transformer import table
from vision.provenance import machine_facts
from vision.whole_file import written_aside

#: What is to be reached on the U-Net with pairs: decibels above random on each network, and within
#: :data:`LARGEST_SHARE` the least share of full fine-tuning's gain in the greatest share of its time.
ABOVE_RANDOM, GAIN, TIME = 0.5, 0.8, 0.25
#: Differences that are tested, and their names.
DIFFERENCES = {
    "random": "zero_out - random",
    UNIFORM: "zero_out - uniform",
    "gate": "zero_out - gate",
    "oracle": "zero_out - oracle",
}


def above_random(found: Figures) -> bool:
    """Whether the search with the zero-out score is far enough above a random place on each network."""
    nets = range(len(found.values[ZERO_OUT]))
    return all(found.difference(ZERO_OUT, "random", net)[0] >= ABOVE_RANDOM for net in nets)


def verdicts(found: Figures) -> list[str]:
    """A line on each of the things to be reached."""
    nets = range(len(found.values[ZERO_OUT]))
    over = [found.difference(ZERO_OUT, "random", net)[0] for net in nets]
    above = [found.difference(ZERO_OUT, UNIFORM, net) for net in nets]
    row = LAYERS if LAYERS in found.values else ZERO_OUT
    gains = found.gain_share(row)
    share, gain = found.parameters[row] / found.total, statistics.fmean(gains)
    time = found.seconds[row] / found.seconds[FULL]
    cheap = share <= LARGEST_SHARE and time <= TIME
    lower = [net for net, (mean, _) in enumerate(above) if mean < 0]
    certain = [net for net in lower if not within_noise(*above[net])]
    return [
        f"{_told(above_random(found))} at least {ABOVE_RANDOM:g} dB above random on each network: "
        f"{_signed(over)} dB.",
        f"{_told(not lower)} not below uniform on each network: {_signed([mean for mean, _ in above])} dB"
        + (f" ({len(lower) - len(certain)} of {len(lower)} within noise)." if lower else "."),
        f"{_told(cheap and gain >= GAIN)} with at most {LARGEST_SHARE:.0%} of the parameters, {GAIN:.0%} of "
        f"what full fine-tuning wins, in {TIME:.0%} of its time: "
        f"{share:.1%}, {gain:.0%} ({', '.join(f'{one:.0%}' for one in gains)} by network), {time:.0%}.",
    ]


def within_noise(mean: float, error: float) -> bool:
    """Whether a difference is less than two standard errors; without an error it is."""
    return not abs(mean) > 2 * error


def section(comparison: Comparison, found: Figures) -> str:
    """The Markdown of one network and loss."""
    study, settings = comparison.study, comparison.settings
    nets = range(settings["nets"])
    noise = (
        f"Noise floor: the same placement differs from seed to seed by {found.noise:.2f} dB (standard "
        f"deviation, {found.noise_runs} placements trained more than once)."
        if found.noise_runs
        else "Noise floor: not known, each placement was trained once."
    )
    rows = []
    for row, label in ROWS.items():
        if row not in found.values:
            continue
        every = [value for own in found.values[row] for value in own]
        rows.append(
            [
                label,
                f"{found.parameters[row]:,}" if row in found.parameters else "",
                *(_cell(own) for own in found.values[row]),
                *[""] * (len(nets) - len(found.values[row])),
                _cell(every),
                f"{found.seconds[row]:.0f}" if row in found.seconds else "",
            ]
        )
    differences = []
    for other, label in DIFFERENCES.items():
        mean, error = found.difference(ZERO_OUT, other)
        reading = "within noise" if within_noise(mean, error) else "above" if mean > 0 else "below"
        by_net = [f"{found.difference(ZERO_OUT, other, net)[0]:+.2f}" for net in nets]
        differences.append([label, *by_net, f"{mean:+.2f} ± {error:.2f}", reading])
    count = len(found.subsets[0])
    kind = f"all {count}" if found.exhaustive else f"{count} drawn"
    labels = [f"net {net}" for net in nets]
    finer = study.layers
    judged = (
        " Judged beside full fine-tuning is an adapter on single layers, peft's form: a search of "
        f"{settings['layer_search']} steps, zero-out's best by parameter within {LARGEST_SHARE:.0%}, "
        f"{settings['layer_tuning']} steps at a learning rate of {finer.rate:g}."
        if finer
        else ""
    )
    return (
        f"## {study.label}, {comparison.objective_name}\n\n{noise} Of {found.total:,} parameters, adapters "
        f"on {study.k} of {len(study.found(study.build()))} candidates train the same number in every place. "
        f"Random: {kind} subsets, seeds of each: {settings['subset_seeds']}; searches and other placements: "
        f"{settings['seeds']} seeds. Learning rates are {TUNING_RATE:g}, of full fine-tuning "
        f"{study.full_rate:g}.{judged}\n\n"
        f"{table(['placement', 'parameters', *labels, 'mean ± s.e.', 'seconds'], rows)}\n\n"
        f"{table(['difference, dB', *labels, 'mean ± s.e.', 'reading'], differences)}\n"
    )


def page(found: list[tuple[Comparison, Figures]], command: str, picture: str, judged: bool) -> str:
    """The Markdown page.

    Args:
        found: comparisons with their figures, one or more.
        command: that made it.
        picture: name of the picture beside it.
        judged: whether to say what of the things to be reached is reached.
    """
    settings = found[0][0].settings
    facts = ", ".join(f"{name} {value}" for name, value in machine_facts(torch.device("cpu")).items())
    told = [
        f"- {line}"
        for comparison, figures in found
        if judged and (comparison.study.name, comparison.loss) == ("unet", "paired")
        for line in verdicts(figures)
    ]
    return (
        "# What a LoRA's place is worth\n\n"
        f"`{command}`\n\n"
        + "\n".join(told)
        + "\n" * 2 * bool(told)
        + f"Each network is trained on `{SOURCE}` haze over crops of six photographs "
        f"({settings['pretraining']:,} steps) and adapted to `{TARGET}` haze (docs/dehaze_data.md) with "
        f"{settings['pictures']} crops, batch {settings['batch']}: a search of {settings['search']} rank-one "
        f"steps on two halves, then {settings['tuning']} steps on a fresh adapter at the places found; full "
        f"fine-tuning takes {settings['full']} steps. PSNR in dB on 48 crops of other parts of the "
        "photographs. The mean is over networks and seeds, s.e. its standard error; a difference is taken "
        "seed by seed, and within noise if it is less than two standard errors. The oracle is the best of "
        "what was tried, so it is too high by what noise adds. Seconds are processor time of one thread, of "
        "bilevel rows with search and zero-out's scores.\n\n"
        + "\n".join(section(*pair) for pair in found)
        + f"\n![PSNR by placement]({picture})\n\nMachine: {facts}.\n"
    )


def write_report(found: list[tuple[Comparison, Figures]], output: Path, command: str, judged: bool) -> str:
    """Writes the page and the picture beside it; returns the page."""
    picture = output.with_suffix(".png")
    draw_placements(found, picture)
    text = page(found, command, picture.name, judged)
    with written_aside(output) as aside:
        aside.write_text(text, encoding="utf-8")
    return text


def _cell(values: list[float]) -> str:
    error = standard_error(values)
    return f"{statistics.fmean(values):.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}")


def _signed(values: list[float]) -> str:
    return ", ".join(f"{value:+.2f}" for value in values)


def _told(reached: bool) -> str:
    return "Reached:" if reached else "Not reached:"
