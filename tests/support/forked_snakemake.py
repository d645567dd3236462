"""Snakemake in forks of one process that has imported it: importing takes most of a dry run's time."""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

LIMIT_S = 900


def run(words: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """`snakemake` with `words`, in `folder`."""
    with tempfile.TemporaryDirectory() as written:
        out, err = Path(written, "out"), Path(written, "err")
        asked = {"words": words, "folder": str(folder), "environment": environment, "out": str(out), "err": str(err)}
        server = _server()
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(["snakemake", *words], code, out.read_text(), err.read_text())


@cache
def _server() -> Any:
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    return server


def _serve() -> None:
    """Forks for each line of the standard input, and answers with the exit status."""
    import pandas  # noqa: F401  Snakemake imports it when it compares parameters
    from snakemake import cli

    from ilsvrc.pipeline import wiring  # noqa: F401

    cli.get_argument_parser()  # imports plug-ins
    sys.path[0] = str(Path(sys.executable).parent)  # as in the console script
    for line in sys.stdin:
        asked = json.loads(line)
        if (child := os.fork()) == 0:
            _become(asked)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(asked: dict[str, Any]) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    signal.alarm(LIMIT_S)
    sys.argv = ["snakemake", *asked["words"]]
    sys.modules["snakemake.cli"].main()


if __name__ == "__main__":
    _serve()
