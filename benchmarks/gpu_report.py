"""The table of benchmarks/gpu_check.sh: each run's seconds an update and peak memory, beside the memory plan.

Ends with exit code 1 where the log-probabilities of vLLM and of the trainer are too far apart in a run.

Input: the folder of its outputs and logs. Output: benchmarks/results/gpu.json and a table.
Command: python benchmarks/gpu_report.py outputs/gpu_check
"""

import re
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import runs

APART = 0.05  # mean of |log p(trainer) - log p(vLLM)|; bfloat16 gave 0.001 to 0.02 on the CPU build of vLLM
GAP = "sampling/sampling_logp_difference/mean"
COLUMNS = ("part", "device", "seconds_an_update", "peak_gib_of_torch", "peak_gib_of_the_device")
COLUMNS += ("planned_gb_with_vllm", "largest_logp_difference")


def row(output: Path) -> dict:
    """The figures of a finished run; the first update, which warms everything up, does not count."""
    record = runs.require(output, "bash benchmarks/gpu_check.sh")
    samples = output.parent / f"{output.name}.memory"  # of the card, in MiB, in use by all processes
    used = [int(line) for line in samples.read_text().split() if line.isdigit()] if samples.exists() else []
    log = output.parent / f"{output.name}.log"
    planned = re.search(r"memory, calculated: ([\d.]+) of", log.read_text() if log.exists() else "")
    metrics = runs.read_jsonl(output / "metrics.jsonl")
    lines = [line for line in metrics if "loss" in line]
    gaps = [line[GAP] for line in metrics if GAP in line]
    times = []
    for before, after in zip(lines, lines[1:]):
        times.append((after["seconds"] - before["seconds"]) / (after["step"] - before["step"]))
    return {
        "part": output.name,
        **{name: record[name] for name in ("device", "command", "commit", "versions", "final")},
        "seconds_an_update": round(statistics.median(times), 2) if times else None,
        "peak_gib_of_torch": record["peak_memory_gib"],
        "peak_gib_of_the_device": round(max(used) / 1024, 2) if used else None,
        "largest_logp_difference": round(max(gaps), 5) if gaps else None,
        "planned_gb_with_vllm": float(planned[1]) if planned else None,
    }


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        runs.fail("name the folder of benchmarks/gpu_check.sh, for instance outputs/gpu_check")
    folder = Path(sys.argv[1])
    rows = [row(path.parent) for path in sorted(folder.glob("*/metrics.jsonl")) if path.parent.suffix != ".partial"]
    if not rows:
        runs.fail(f"{runs.shown(folder)} holds no finished run; first run: bash benchmarks/gpu_check.sh")
    results = runs.ROOT / "benchmarks/results/gpu.json"
    runs.write_json(results, rows)
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for line in rows:
        print(f"| {' | '.join(str(line[name]) for name in COLUMNS)} |")
    print(f"saved {runs.shown(results)}")
    apart = [line["part"] for line in rows if (line["largest_logp_difference"] or 0) > APART]
    if apart:
        runs.fail(
            f"log-probabilities of vLLM and the trainer are more than {APART} apart in {', '.join(apart)}", code=1
        )


if __name__ == "__main__":
    main()
