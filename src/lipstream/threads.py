"""How many threads the numeric libraries may use."""

from __future__ import annotations

import cv2
from threadpoolctl import threadpool_limits


def one_thread_per_library() -> None:
    """Make OpenCV and BLAS work on the calling thread only, for the rest of the process.

    The shells call this once at start. Renders already run in parallel on worker threads. The libraries' own threads
    would only compete for the same cores, and waking them costs more than the small products of a frame.
    """
    cv2.setNumThreads(1)
    threadpool_limits(1)
