"""``python -m benchmarks``: run every benchmark, write results.json and results.md beside this file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from weft_runtime.files import write_atomically

from . import (
    area_model,
    checker,
    clock,
    compile_digits,
    compile_kernel,
    demo_time,
    exploration,
    exploration_search,
    functional_epilogue,
    functional_gemm,
    host_kernels,
    latency_hiding,
    layers,
    machine,
    networks,
    resnet18,
    resnet18_layers,
    rtl_dma,
    rtl_rate,
    rtl_speed,
    synthesis,
    timing_model,
    tuning_curves,
    tuning_space,
)

HERE = Path(__file__).parent
SUBJECTS = {
    "functional_gemm": functional_gemm,
    "functional_epilogue": functional_epilogue,
    "rtl_speed": rtl_speed,
    "rtl_dma": rtl_dma,
    "timing_model": timing_model,
    "layers": layers,
    "latency_hiding": latency_hiding,
    "networks": networks,
    "resnet18": resnet18,
    "resnet18_layers": resnet18_layers,
    "tuning_curves": tuning_curves,
    "checker": checker,
    "synthesis": synthesis,
    "area_model": area_model,
    "clock": clock,
    "rtl_rate": rtl_rate,
    "host_kernels": host_kernels,
    "compile_kernel": compile_kernel,
    "compile_digits": compile_digits,
    "demo_time": demo_time,
    "exploration": exploration,
    "exploration_search": exploration_search,
    "tuning_space": tuning_space,
}


def _markdown(results: dict[str, Any]) -> str:
    lines = ["# Benchmark results", "", "Written by `make bench`.", "", "| | |", "| --- | --- |"]
    lines += [f"| {key} | {value} |" for key, value in results["machine"].items()]
    for name, module in SUBJECTS.items():
        if name in results:
            measured, figures = results[name]["measured"], results[name]["figures"]
            lines += ["", f"## {name}", "", (module.__doc__ or "").strip(), "", f"Measured {measured}."]
            lines += ["", "| figure | value |", "| --- | ---: |"]
            lines += [f"| {key} | {value} |" for key, value in figures.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Weft on this machine.")
    parser.add_argument("only", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)} (default: all)")
    chosen = parser.parse_args().only or list(SUBJECTS)
    if unknown := set(chosen) - SUBJECTS.keys():
        parser.error(f"unknown subject {min(unknown)!r}; choose from {', '.join(SUBJECTS)}")
    path = HERE / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results["machine"] = machine.describe()
    occasion = machine.occasion()
    for name in chosen:
        print(f"{name} ...", flush=True)
        results[name] = {"measured": occasion, "figures": SUBJECTS[name].measure()}
        for key, value in results[name]["figures"].items():
            print(f"  {key:24} {value}")
        for file, text in ((path, json.dumps(results, indent=2) + "\n"), (HERE / "results.md", _markdown(results))):
            write_atomically(file, lambda part, text=text: part.write(text.encode()))


if __name__ == "__main__":
    main()
