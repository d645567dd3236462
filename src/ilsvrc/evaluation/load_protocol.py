"""Test protocols by their names in params.yaml."""

from typing import cast

from ilsvrc.config import registry
from ilsvrc.evaluation.protocol_contract import ProtocolModule


def load_protocol(name: str) -> ProtocolModule:
    """The test protocol of a name: the module `protocols/<name>.py`.

    Raises:
        ValueError: there is no such protocol, or its module breaks the contract.
    """
    return cast(ProtocolModule, registry.load("protocols", name))
