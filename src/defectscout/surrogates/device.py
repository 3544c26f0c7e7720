"""Where torch runs, and how many structures it takes at once there.

Threads are left to torch: it takes all physical cores, or `OMP_NUM_THREADS` where that is set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from defectscout.core.errors import SettingsError
from defectscout.surrogates.settings import SurrogateSettings


def torch_device(settings: SurrogateSettings) -> str:
    """The torch device that the settings ask for; `auto` is CUDA where there is one, else the CPU.

    Apple's `mps` has to be asked for: not all operations of all models exist there.

    Raises:
        SettingsError: if the device that was asked for is not there.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if settings.device == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there[settings.device]:
        raise SettingsError(
            f"The setting surrogate.device = '{settings.device}' cannot be met: torch finds no such device here. "
            "Use 'auto' or 'cpu', or install a torch that is built for it."
        )
    return settings.device


def structures_at_once(settings: SurrogateSettings, device: str) -> int:
    """How many structures share one graph: `batch_size` on a GPU, one on a CPU.

    A CPU gains nothing from larger graphs: one core takes 0.042 s for a 53-atom
    structure with CHGNet alone and 0.042 s in a batch of 16; M3GNet 0.018 and 0.020 s,
    7net-0 0.16 s alone and 0.27 s in a batch of 8. Evaluated alone, a structure's
    numbers do not depend, to the last bit, on what else is in the batch.
    """
    return 1 if device == "cpu" else settings.batch_size


@contextlib.contextmanager
def reproducible(device: str) -> Iterator[None]:
    """Make torch give the same bits again on a CPU, for the same number of threads.

    With two threads M3GNet and 7net-0 otherwise give other last digits in each call: gradients
    of gathered rows are summed in the order in which threads finish. It takes no longer
    (0.018 and 0.12 s for 53 atoms with and without). On a GPU nothing is changed, and last digits vary.
    """
    import torch

    if device != "cpu":
        yield
        return
    before, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
