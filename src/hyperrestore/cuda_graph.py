"""A function of tensors as one CUDA graph.

A step of training launches thousands of small kernels. One by one, that takes far longer than they run;
recorded once, they are launched together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

EAGER_CALLS = 3  # in these, libraries and optimisers set up what has to stay
AHEAD = 2  # calls that may wait for the GPU


class Recorded:
    """Calls a function as it is a few times, then records what it launches and from there on replays that.

    Nothing but the values of the arguments may differ between calls: the function never waits for the GPU,
    and whatever else it reads or changes stays at its place.

    Args:
        function: Takes and returns tensors on the GPU. What a call returns holds until the next call.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.arguments: list[Tensor] = []
        self.result = torch.empty(0)
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.ended = deque(torch.cuda.Event() for _ in range(AHEAD))  # type: ignore[no-untyped-call]

    def __call__(self, *arguments: Tensor) -> Tensor:
        """Like the function; all calls with arguments of the same shapes."""
        self.ended[0].synchronize()  # or the clock, and whoever stops by it, would be far ahead of the GPU
        if not self.arguments:
            self.arguments = [argument.clone() for argument in arguments]
        for own, given in zip(self.arguments, arguments, strict=True):
            own.copy_(given)
        if self.calls < EAGER_CALLS:
            self._call_apart()
        else:
            self.graph = self.graph or self._record()
            self.graph.replay()
        self.calls += 1
        self.ended[0].record()
        self.ended.rotate()
        return self.result

    def _call_apart(self) -> None:
        """On a stream of its own, as it is recorded: autograd keeps to the stream that it has begun on."""
        here = torch.cuda.current_stream()
        apart = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        apart.wait_stream(here)
        with torch.cuda.stream(apart):
            self.result = self.function(*self.arguments)
        here.wait_stream(apart)

    def _record(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.result = self.function(*self.arguments)
        return graph
