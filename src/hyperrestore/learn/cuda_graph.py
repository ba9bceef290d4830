"""A function of tensors as one CUDA graph.

A training step launches thousands of small kernels. Launching them one by one takes far longer than running
them; recorded once, they are launched together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

EAGER_CALLS = 3  # in which libraries and optimisers allocate what has to stay
AHEAD = 2  # calls that may wait for the GPU


class Recorded:
    """Calls a function a few times as it is, then records what it launches, and replays that from then on.

    Only the values of the arguments may differ between calls. The function must never wait for the GPU, and
    everything else that it reads or changes must stay in the same memory.

    Args:
        function: Takes and returns tensors on the GPU. What a call returns holds until the next call.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.arguments: list[Tensor] = []
        self.result = torch.empty(0)
        self.calls = 0
        self.graph = torch.cuda.CUDAGraph()

    def __call__(self, *arguments: Tensor) -> Tensor:
        """Call the function; arguments have the same shapes in all calls, on one device."""
        with torch.cuda.device(arguments[0].device):
            if not self.calls:
                self.arguments = [argument.clone() for argument in arguments]
                # Autograd keeps to the stream it began on, and on the usual one nothing can be recorded.
                self.apart = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                self.ended = deque(torch.cuda.Event() for _ in range(AHEAD))  # type: ignore[no-untyped-call]
            self.ended[0].synchronize()  # or a loop that stops by the clock would be far ahead of the GPU
            for own, given in zip(self.arguments, arguments, strict=True):
                own.copy_(given)
            if self.calls < EAGER_CALLS:
                here = torch.cuda.current_stream()
                self.apart.wait_stream(here)
                with torch.cuda.stream(self.apart):
                    self.result = self.function(*self.arguments)
                here.wait_stream(self.apart)
            else:
                if self.calls == EAGER_CALLS:
                    with torch.cuda.graph(self.graph):
                        self.result = self.function(*self.arguments)
                self.graph.replay()
            self.calls += 1
            self.ended[0].record()
            self.ended.rotate()
        return self.result
