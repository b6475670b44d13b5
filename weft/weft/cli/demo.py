"""``weft demo``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options

if TYPE_CHECKING:
    from weft.demo import Outcome

NAMES = {"functional": "functional simulator", "tsim": "cycle-accurate RTL"}


def demo_command(
    rtl_images: Annotated[
        int, typer.Option("--rtl-images", metavar="N", min=0, help="Images on the RTL, at most; 0 leaves it out.")
    ] = 1000,
    config: options.Config = "vta",
    read_latency: options.ReadLatency = 50,
    json: options.Json = False,
) -> None:
    """Read handwritten digits on both simulators and compare with onnxruntime, byte for byte.

    Exit code 1 on any mismatch.
    """
    import weft
    from weft.demo import layer_rows, reference_logits, run_images
    from weft.models import digits_heldout, digits_onnx

    from .devices import device_options
    from .output import build_progress, print_json

    accelerator = weft.load_config(config)
    images, labels = digits_heldout()
    with build_progress() as progress:
        module = weft.compile(digits_onnx(), accelerator, progress=lambda _, *counts: progress("compile", *counts))
    reference = reference_logits(images)
    outcomes: dict[str, Outcome] = {}
    for device, count in (("functional", len(images)), ("tsim", min(rtl_images, len(images)))):
        if not count:
            continue
        with device_options(device, read_latency, None) as settings:
            opened = weft.open_device(device, accelerator, **settings)
        with opened, _counting(NAMES[device], count) as advance:
            outcomes[device] = run_images(module, opened, images[:count], reference[:count], labels[:count], advance)
    rows = layer_rows(list(outcomes.values())[-1], accelerator)
    same = not any(outcome.mismatches for outcome in outcomes.values())
    if json:
        print_json(
            {
                "config": config,
                "read_latency": read_latency,
                "reference_accuracy": float((reference.argmax(1) == labels).mean()),
                **{device: outcome.summary() for device, outcome in outcomes.items()},
                "peak_macs_per_cycle": accelerator.macs,
                "layers": rows,
                "same_bytes": same,
            }
        )
    else:
        _print_report(config, accelerator.macs, read_latency, accelerator.axi_data_bits, outcomes, rows, same)
    if not same:
        raise typer.Exit(1)


@contextmanager
def _counting(description: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar over images, on stderr."""
    from .output import build_progress

    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress(description, done, total)

    with build_progress() as progress:
        yield advance


def _print_report(
    config: str,
    peak: int,
    latency: int,
    bus_bits: int,
    outcomes: dict[str, Outcome],
    rows: list[dict[str, Any]],
    same: bool,
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    summary = Table("device", "images", "accuracy", "same bytes", "seconds", "cycles an image", box=None)
    for device, outcome in outcomes.items():
        summary.add_row(
            NAMES[device],
            str(outcome.images),
            f"{outcome.correct / outcome.images:.2%}",
            f"{outcome.images - outcome.mismatches} of {outcome.images}",
            f"{outcome.seconds:.1f}",
            "" if outcome.cycles is None else f"{outcome.cycles:,}",
        )
    layers = Table("layer", "where", box=None)
    for heading in ("MACs", "RTL cycles", "MACs/cycle", "of peak"):
        layers.add_column(heading, justify="right")
    for row in rows:
        told = row["cycles"] is not None
        layers.add_row(
            row["name"],
            row["placement"],
            f"{row['macs']:,}" if row["macs"] else "",
            f"{row['cycles']:,}" if told else "",
            f"{row['macs_per_cycle']:.1f}" if told else "",
            f"{row['percent_of_peak']:.1f} %" if told else "",
        )
    console.print(f"\nHandwritten digits on {config}: {peak} MACs a cycle at most\n", highlight=False)
    console.print(summary)
    console.print()
    console.print(layers)
    console.print(f"\nmemory: {bus_bits} bits a cycle, read latency {latency} cycles", highlight=False)
    verdict = "every logit equals onnxruntime's, byte for byte" if same else "MISMATCH with onnxruntime"
    console.print(f"verdict: {verdict}", style="green" if same else "red", highlight=False)
