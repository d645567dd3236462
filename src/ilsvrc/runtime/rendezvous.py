"""Where the processes of a training meet: a file of one machine, or an address that several nodes are given."""

import ipaddress
import os
import socket
from datetime import timedelta

import torch.distributed as dist
from torch.distributed import FileStore, TCPStore  # type: ignore[attr-defined]

from ilsvrc.runtime.worker_processes import MEETING_ADDRESS, MEETING_FILE

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
LONGEST_WAIT_FOR_NODES = timedelta(hours=1)  # until all of them have begun


def store(rank: int, size: int) -> dist.distributed_c10d.Store:
    """The store by which this process finds the others, as the launcher's environment variables say."""
    address = os.environ.get(MEETING_ADDRESS)
    return _at(address, rank, size) if address else FileStore(os.environ[MEETING_FILE], size)


def _at(address: str, rank: int, size: int) -> dist.distributed_c10d.Store:
    """The store of several nodes' processes, once all have come; the first process serves it at `address`.

    Raises:
        ValueError: some did not come in time.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        handle = None if rank else _listening_at(host, int(port))
        return TCPStore(host, int(port), size, rank == 0, LONGEST_WAIT_FOR_NODES, master_listen_fd=handle)
    except (dist.DistError, OSError) as error:
        raise ValueError(
            f"process {rank} of {size} did not find all others at {address} ({error}); give all nodes the same "
            "--rendezvous, node 0's address and a free port of it, and start them within an hour"
        ) from error


def _listening_at(host: str, port: int) -> int | None:
    """Handle of a socket that listens at a numeric address alone; None for a name, which may mean another one here."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.create_server((host, port), family=FAMILIES[version]).detach()
