"""How many threads a process computes with."""

from __future__ import annotations

import cv2
import torch
from threadpoolctl import threadpool_limits


def use_threads(threads: int) -> None:
    """PyTorch, the BLAS behind NumPy and OpenCV compute with so many threads from here on, in the whole process.

    Each of them takes all cores by itself otherwise. Beside a second process their threads then wait for each other in
    loops that use the processor: on two busy cores the scripted attacks of a step of SFT took 1.3 to 1.9 times the CPU
    seconds (docs/log.md). And sums of a matrix product would depend on the number of cores.
    """
    torch.set_num_threads(threads)
    threadpool_limits(limits=threads, user_api="blas")
    cv2.setNumThreads(threads)
