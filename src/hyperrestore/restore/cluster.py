"""A Ray cluster: connected to, or started on this machine."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hyperrestore.errors import MissingExtraError, UsageError
from hyperrestore.run.device import cpu_threads

LOCAL = "local"  # the address of a cluster that is started on this machine, for this command
AUTO = "auto"  # that of the cluster that runs on this machine, or that RAY_ADDRESS names
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Of a cluster for this command alone: its workers have the priority of the command, where Ray gives them the
# lowest but a few.
_OWN = {"RAY_worker_niceness": "0"}
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
