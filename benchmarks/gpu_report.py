"""The table of benchmarks/gpu_check.sh: each run's seconds an update and peak memory, beside the memory plan.

Input: the folder of its outputs and logs. Output: benchmarks/results/gpu.json and a table.
Command: python benchmarks/gpu_report.py outputs/gpu_check
"""

import itertools
import json
import re
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import runs


def row(output: Path) -> dict:
    """The figures of a finished run; the first update, which warms everything up, does not count."""
    record = json.loads((output / "run.json").read_text())
    log = output.parent / f"{output.name}.log"
    planned = re.search(r"memory, calculated: ([\d.]+) of", log.read_text()) if log.exists() else None
    logged = [(line["seconds"], line["step"]) for line in runs.read_jsonl(output / "metrics.jsonl") if "loss" in line]
    times = [(after[0] - before[0]) / (after[1] - before[1]) for before, after in itertools.pairwise(logged)]
    return {
        "part": output.name,
        "card": record["device"],
        "command": record["command"],
        "commit": record["commit"],
        "versions": record["versions"],
        "seconds_an_update": round(statistics.median(times), 2) if times else None,
        "peak_gib_of_torch": record["peak_memory_gib"],
        "planned_gb_with_vllm": float(planned[1]) if planned else None,
        "final": record["final"],
    }


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        runs.fail("name the folder of benchmarks/gpu_check.sh, for instance outputs/gpu_check")
    folder = Path(sys.argv[1])
    rows = [row(path.parent) for path in sorted(folder.glob("*/run.json")) if (path.parent / "metrics.jsonl").exists()]
    if not rows:
        runs.fail(f"{runs.shown(folder)} holds no finished run; first run: bash benchmarks/gpu_check.sh")
    results = runs.ROOT / "benchmarks/results/gpu.json"
    runs.write_json(results, rows)
    print("| part | card | s an update | peak of torch, GiB | planned with vLLM, GB |\n|---|---|---|---|---|")
    for found in rows:
        figures = (found[name] for name in ("seconds_an_update", "peak_gib_of_torch", "planned_gb_with_vllm"))
        print(f"| {found['part']} | {found['card']} | {' | '.join('' if f is None else str(f) for f in figures)} |")
    print(f"saved {runs.shown(results)}")


if __name__ == "__main__":
    main()
