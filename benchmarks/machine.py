"""What a benchmark measures with: a clock, and the facts of the machine."""

import platform
import statistics
import time
from pathlib import Path

import torch
import transformers
import trl

CLOCK = "wall" if torch.cuda.is_available() or torch.get_num_threads() > 1 else "process"


def now() -> float:
    """Seconds: those of the processor on one CPU thread, which other programs do not lengthen, else wall time."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.process_time() if CLOCK == "process" else time.perf_counter()


def facts() -> dict:
    """What the figures were measured on."""
    cpu = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    return {
        "cpu": cpu,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "clock": CLOCK,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "trl": trl.__version__,
    }


def ratio(slow: list[float], fast: list[float]) -> dict:
    """The median and the range of the ratios of seconds that were measured in turns."""
    ratios = [one / other for one, other in zip(slow, fast)]
    return {"median": statistics.median(ratios), "low_high": [min(ratios), max(ratios)]}
