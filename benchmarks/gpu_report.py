"""The table of benchmarks/gpu_check.sh: each run's seconds an update and peak memory, beside the memory plan.

Input: the folder of its outputs and logs. Output: benchmarks/results/gpu.json and a table.
Command: python benchmarks/gpu_report.py outputs/gpu_check
"""

import re
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import runs


def row(output: Path) -> dict:
    """The figures of a finished run; the first update, which warms everything up, does not count."""
    record = runs.require(output, "bash benchmarks/gpu_check.sh")
    log = output.parent / f"{output.name}.log"
    planned = re.search(r"memory, calculated: ([\d.]+) of", log.read_text() if log.exists() else "")
    lines = [line for line in runs.read_jsonl(output / "metrics.jsonl") if "loss" in line]
    times = []
    for before, after in zip(lines, lines[1:]):
        times.append((after["seconds"] - before["seconds"]) / (after["step"] - before["step"]))
    return {
        "part": output.name,
        **{name: record[name] for name in ("device", "command", "commit", "versions", "final")},
        "seconds_an_update": round(statistics.median(times), 2) if times else None,
        "peak_gib_of_torch": record["peak_memory_gib"],
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
    print("| part | card | s an update | peak of torch, GiB | planned with vLLM, GB |\n|---|---|---|---|---|")
    for one in rows:
        cells = [one["part"], one["device"], one["seconds_an_update"], one["peak_gib_of_torch"]]
        print("| " + " | ".join(map(str, [*cells, one["planned_gb_with_vllm"]])) + " |")
    print(f"saved {runs.shown(results)}")


if __name__ == "__main__":
    main()
