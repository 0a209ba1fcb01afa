"""Ray: started on this machine, for itself alone; or the cluster that RAY_ADDRESS names. *Ours.*"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aot.errors import AotError

INSTALL = 'pip install "ray[data]>=2.60"'
STORE_BYTES = 100 * 2**20  # about the least that Ray takes; only lines of JSON go through it
# Off, it makes Ray listen on the loopback address only, on Linux, too; `_node_ip_address="127.0.0.1"` does not.
NETWORK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
LOOPBACK = "127.0.0.1"
ENVIRONMENT = {
    NETWORK: "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # its own is 15: the least of all programs, and we are what it was started for
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its log files stay; what concerns our user comes as an exception
}
WHERE = "Ray"
"""In errors."""


@contextmanager
def ray_started(workers: int) -> Iterator[Any]:
    """The `ray` module, started on this machine for so many actors of one core each and stopped at the end: loopback
    only, no dashboard, no usage statistics, no chatter. A Ray that the caller has started is used, and kept, as it is;
    the cluster that RAY_ADDRESS names is joined, and left.

    Raises `AotError` where Ray is not installed, would listen on the network, or no cluster is at that address.
    """
    ray = imported_ray()
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if cluster := cluster_address():
        try:
            with own_sigterm():
                ray.init(address=cluster, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            hint = "start it (`ray start --head`), or unset RAY_ADDRESS to use this machine alone"
            if "RAY_AUTH_MODE" not in os.environ and cluster != "auto":
                hint += "; a cluster that asks for a token wants RAY_AUTH_MODE=token here, too"
            raise AotError(f"no Ray cluster there ({error})", where=f"RAY_ADDRESS={cluster}", hint=hint) from error
    elif os.environ[NETWORK] != "0":
        raise _exposed("would listen on the network")
    else:
        own = {"num_cpus": workers, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        try:
            with own_sigterm():
                ray.init(address="local", **own, **quiet)
        except Exception as error:
            # Ray raises the bare class where its own processes are not up in time.
            if type(error) is not Exception and not isinstance(error, RuntimeError | OSError):
                raise
            told = str(error).strip().splitlines()
            what = f"Ray did not start ({told[0][:200] if told else type(error).__name__})"
            hint = "the machine may be too busy: run the same command again, or take --executor local"
            raise AotError(what, where=WHERE, hint=hint) from error
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        if not cluster and (address := ray.util.get_node_ip_address()) != LOOPBACK:
            raise _exposed(f"listened on {address}, and was stopped")
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def own_sigterm() -> Iterator[None]:
    """What SIGTERM does here, it does afterwards: Ray would have it end this process at once, with a stack."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


def cluster_address() -> str:
    """Of the cluster that the environment names: "auto", "host:port", "ray://..."; "" where this machine is meant."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return "" if address == "local" else address


def imported_ray() -> Any:
    if "ray" in sys.modules:  # too late for the settings below, which Ray reads when it is imported
        os.environ.setdefault(NETWORK, "1")
    for name, value in ENVIRONMENT.items():
        if name != NETWORK or not cluster_address():  # whoever joins a cluster is spoken to by its nodes
            os.environ.setdefault(name, value)
    try:
        import ray.data
    except ImportError as error:
        what = f"Ray is not installed, or not all of it ({error})"
        raise AotError(what, where=WHERE, hint=INSTALL) from error
    return ray


def _exposed(what: str) -> AotError:
    hint = f"set {NETWORK}=0 in the environment, before anything imports ray"
    return AotError(what, where=WHERE, hint=hint)
