"""Training in several processes, one a GPU, as `accelerate launch` starts them.

The main process alone checks, makes folders, logs and prints; all of them generate and train, each its part of a batch.
"""

import contextlib
import ctypes
import os

# Set by accelerate's launcher.
COUNT, INDEX = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
IS_MAIN = INDEX == 0


def wait() -> None:
    """Go on when every process has come here; ends this one where another has ended."""
    if COUNT == 1:
        return
    import torch

    try:
        torch.distributed.barrier()
    except RuntimeError:  # that one has said why, and its exit code counts
        raise SystemExit(0) from None


def keep_memory() -> None:
    """Make glibc keep freed memory, which it would return to the system and fetch again for each large tensor."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**26)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
            mallopt(option, value)


def mine(rows: list) -> list:
    """The rows for this process, as many as for every other: the last one may be there several times."""
    return (rows + rows[-1:] * (-len(rows) % COUNT))[INDEX::COUNT]


def together(results: list, count: int) -> list:
    """What all processes made of mine(rows), for all of them, in the order of the `count` rows."""
    if COUNT == 1:
        return results
    import torch

    parts = [None] * COUNT
    torch.distributed.all_gather_object(parts, results)
    return [parts[number % COUNT][number // COUNT] for number in range(count)]


@contextlib.contextmanager
def whole_model(trainer):
    """All weights in every process, where FSDP or ZeRO-3 divides them; inside, they may only be read."""
    if trainer.is_deepspeed_enabled:
        from deepspeed.zero import GatheredParameters

        how = GatheredParameters(list(trainer.model.parameters()))
    elif trainer.is_fsdp_enabled:
        from torch.distributed.fsdp import FullyShardedDataParallel

        how = FullyShardedDataParallel.summon_full_params(trainer.model_wrapped, writeback=False)
    else:
        how = contextlib.nullcontext()
    with how:
        yield
