"""The pictures of a folder -> their results, made by the workers of a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hyperrestore.errors import DiskFullError, MissingExtraError, UsageError
from hyperrestore.restore.batch import Failure
from hyperrestore.restore.crew import Crew
from hyperrestore.restore.ledger import Outcome
from hyperrestore.restore.stream import Ahead, Found
from hyperrestore.run.device import cpu_threads

LOCAL = "local"  # the address of a cluster that is started on this machine, for this command
AUTO = "auto"  # that of the cluster that runs on this machine, or that RAY_ADDRESS names
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Of a cluster for this command alone: its workers have the priority of the command, where Ray gives them the
# lowest but a few.
_OWN = {"RAY_worker_niceness": "0"}
_WAIT = 1.0  # seconds, after which the room in the cluster is looked at
_ALLOWED = "give HOST:PORT of a running cluster's head, auto on one of its machines, or local"
_FRAME, _SETTINGS = 9, 4  # HTTP/2, which a head speaks: bytes before a frame, and the kind it begins with
_REACH = 5.0  # seconds in which a head must answer

logger = logging.getLogger(__name__)


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a cluster.

    Args:
        address: HOST:PORT of its head, `AUTO` or `LOCAL`.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: There is no cluster at the address, or it is of another version.
    """
    _check_address((os.environ.get("RAY_ADDRESS") or AUTO) if address == AUTO else address)
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("--cluster needs Ray: pip install 'hyperrestore[cluster]'") from error
    for name, value in (_QUIET | _OWN if address == LOCAL else _QUIET).items():
        os.environ.setdefault(name, value)
    here = {"num_cpus": cpu_threads(), "include_dashboard": False} if address == LOCAL else {}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if main else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _send_messages_to_log()
            ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False, **here)
    except Exception as error:  # that is what Ray raises where a machine is too slow to start a cluster
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(f"cluster {address}: {why}; {_ALLOWED}") from error
    if main and handler is not None:
        signal.signal(signal.SIGTERM, handler)  # Ray sets its own, which ends the process without our words
    try:
        yield
    finally:
        ray.shutdown()


def _send_messages_to_log() -> None:
    """Keep the messages of Ray off standard output, where results are named; it has no option for that."""
    import ray._private.worker as theirs

    theirs.print_to_stdstream = lambda data, **options: logger.info("Ray: %s", " ".join(data["lines"]))


def _check_address(address: str) -> None:
    """Refuse an address where no cluster answers; Ray would try for minutes.

    Raises:
        UsageError: It is none, nothing answers, or something else does.
    """
    if address in (LOCAL, AUTO):
        return
    encrypted = os.environ.get("RAY_USE_TLS", "0") != "0"  # then the client speaks first
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or "/" in address:
        raise UsageError(f"cluster {address}: is no address; {_ALLOWED}")
    try:
        with socket.create_connection((host, int(port)), _REACH) as connection:
            greeting = b"" if encrypted else connection.recv(_FRAME)
    except (
        OSError,
        OverflowError,
        UnicodeError,
    ) as error:  # the last for a part of the name, empty or too long
        raise UsageError(f"cluster {address}: nothing answers there ({error}); {_ALLOWED}") from error
    if not encrypted and greeting[3:4] != bytes([_SETTINGS]):
        raise UsageError(f"cluster {address}: what answers there is no cluster; {_ALLOWED}")


def restore_stream(found: Ahead, crew: Crew) -> Iterator[tuple[Found, Outcome | None]]:
    """Restore pictures while they are found; each goes to the next worker that is free.

    A picture whose worker dies is restored by another. When a disk is full, no further picture is started.

    Args:
        found: What is found in a folder.
        crew: The workers; the caller ends them.

    Yields:
        Everything that was found, in the order in which it is finished, and what became of it if it is a
        picture; after a full disk "left" for those that were not started.

    Raises:
        HyperrestoreError: The listing fails, or a worker refuses to start.
    """
    full = False
    while True:
        yield from _up_to_a_picture(found, crew)
        if not crew.is_busy and (full or not crew.waiting):
            break
        if crew.waiting and not full:
            if crew.has_idle:
                crew.give()
                continue
            crew.hire(len(crew.waiting) + len(found))
        else:
            crew.dismiss_idle()
        for picture, result in crew.finished(_WAIT):
            full = full or (isinstance(result, Failure) and isinstance(result.error, DiskFullError))
            yield picture, result
    yield from abandon(found, crew)


def abandon(found: Ahead, crew: Crew) -> Iterator[tuple[Found, Outcome | None]]:
    """Stop at once: unfinished pictures are abandoned.

    Args:
        found: What is found in a folder: to the end, or, if it is closed, what is read already.
        crew: The workers, who are ended.

    Yields:
        Those that are finished, and everything else as `restore_stream` yields it; the pictures are "left".
    """
    for picture, result in crew.end():
        yield picture, result or "left"
    for picture in crew.waiting:
        yield picture, "left"
    for one in found:
        yield one, "left" if one.kind == "picture" else _without_work(one)


def _up_to_a_picture(found: Ahead, crew: Crew) -> Iterator[tuple[Found, Outcome | None]]:
    """Read on until a picture waits for a worker, or nothing more is found."""
    while not crew.waiting:
        one = next(found, None)
        if one is None:
            return
        if one.kind == "picture":
            crew.waiting.append(one)
        else:
            yield one, _without_work(one)


def _without_work(found: Found) -> Outcome | None:
    """What becomes of all that is not restored."""
    if found.kind == "skipped":
        return "skipped"
    if found.kind == "refused":
        return Failure(str(found.source), str(found.target), UsageError(found.words))
    return None
