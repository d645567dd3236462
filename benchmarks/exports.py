"""What leaves eager PyTorch: each architecture compiled, exported, traced, scripted and written as ONNX, in one table.

Each network stands at the least input size that it takes, for 10 classes, with random weights, and every way out must
give what the network gives. A way that hangs, crashes or fails costs its own cell only. Cells that the table already
has are kept; those that were not tried are tried as soon as their packages are there.
"""

import argparse
import copy
import inspect
import multiprocessing
import os
import queue
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ilsvrc.config import registry
from ilsvrc.models.common import reference_counts
from ilsvrc.models.common.layers import Classifier
from ilsvrc.training import initialization

PAGE = Path(__file__).parent.parent / "docs" / "exports.md"
CLASSES, BATCH, TOLERANCE = 10, 4, 1e-4
NOT_TRIED, YES = "not tried", "yes"
REASON_LENGTH = 100
FOR_ONNX = ("onnx", "onnxscript", "onnxruntime")
MADE_BY = ("torch", "torchvision", "timm")
Row = dict[str, str]


def main() -> None:
    options = arguments()
    names = [registry.check("models", name) for name in options.names] or list(registry.names("models"))
    rows = kept_rows(options.page)
    if options.anew:
        rows = {name: row for name, row in rows.items() if options.names and name not in names}
    rows |= {name: dict.fromkeys(WAYS, NOT_TRIED) for name in names if name not in rows}
    wanted = {name: ways_for(name, options.inductor) for name in names}
    missing = {name: [way for way in ways if rows[name][way] == NOT_TRIED] for name, ways in wanted.items()}
    missing = {name: ways for name, ways in missing.items() if ways}
    for number, (name, found, seconds) in enumerate(try_all(missing, options.workers, options.timeout), start=1):
        rows[name].update(found)
        options.page.write_text(page(rows))
        said = ", ".join(f"{way}: {cell}" for way, cell in found.items())
        print(f"{number}/{len(missing)} {name} ({seconds:.0f} s): {said}", flush=True)
    options.page.write_text(page(rows))


def try_all(missing: dict[str, list[str]], workers: int, timeout: float) -> Iterator[tuple[str, Row, float]]:
    """Name, cells and seconds of each network, as they are done."""
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for _ in range(workers):
        idle.put(Worker(timeout))

    def try_one(name: str) -> tuple[str, Row, float]:
        worker, started = idle.get(), time.perf_counter()
        found = {way: worker.attempt(name, way) for way in missing[name]}
        idle.put(worker)
        return name, found, time.perf_counter() - started

    with ThreadPoolExecutor(workers) as pool:
        for done in as_completed([pool.submit(try_one, name) for name in missing]):
            yield done.result()
    while not idle.empty():
        idle.get().stop()


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help="architectures; none is all")
    options.add_argument("--anew", action="store_true", help="forget the rows that the table has of these")
    options.add_argument("--inductor", action="store_true", help="compile the smallest network of each file to C++ too")
    options.add_argument("--timeout", type=float, default=120, help="seconds for a cell")
    options.add_argument("--workers", type=int, default=2, help="networks at a time, a thread each")
    options.add_argument("--page", type=Path, default=PAGE)
    return options.parse_args()


def ways_for(name: str, inductor: bool) -> list[str]:
    left_out = set() if inductor else {"inductor"}
    if name not in smallest_of_each_file():
        left_out |= SLOW_WAYS
    if not all(map(installed, FOR_ONNX)):
        left_out.add("ONNX")
    return [way for way in WAYS if way not in left_out]


@cache
def smallest_of_each_file() -> set[str]:
    """The network with the fewest parameters of each file of `models`."""
    table, by_file = reference_counts.architectures(), {}
    known = [name for name in registry.names("models") if name in table]
    for name in sorted(known, key=lambda name: int(table[name]["parameters"]), reverse=True):
        by_file[builder(name).__module__] = name
    return set(by_file.values())


def builder(name: str) -> Callable[..., Classifier]:
    """The function behind a name."""
    build = registry.architecture(name)
    return getattr(build, "func", build)


# The networks


@lru_cache(maxsize=1)
def build(name: str) -> tuple[Classifier, Tensor]:
    """The network at its least size, without dropout and drop-path, and pictures `[N, 3, H, W]`."""
    torch.manual_seed(0)
    side = smallest_px(name)
    chance = {key: 0.0 for key in ("dropout", "drop_path") if key in inspect.signature(builder(name)).parameters}
    network = registry.architecture(name)(num_classes=CLASSES, input_px=side, **chance)
    initialization.initialize(network, "he_normal", seed=0)
    images = torch.randn(BATCH, 3, side, side)
    settle(network, images)
    return network, images


def smallest_px(name: str) -> int:
    """The least side that the network takes, as its refusal of a smaller one says."""
    try:
        with torch.device("meta"):
            registry.architecture(name)(input_px=3)
    except ValueError as refusal:
        if found := re.search(r"of (\d+) px or more", str(refusal)):
            return int(found.group(1))
    raise ValueError(f"{name} does not say what least size it takes")


def settle(network: nn.Module, images: Tensor) -> None:
    """Sets every batch norm's running statistics to those of `images`, but no variance below 1.

    A norm that enlarges what hardly varies enlarges rounding errors too: deep networks would give noise.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.running_var.clamp_(min=1.0)


# The ways out: each raises, or gives a network that must do as the eager one does


def compile_eval(network: Classifier, images: Tensor) -> Any:
    return torch.compile(network, backend="aot_eager", fullgraph=True)


def compile_to_cpp(network: Classifier, images: Tensor) -> Any:
    return torch.compile(network, backend="inductor", fullgraph=True)


def export(network: Classifier, images: Tensor) -> Any:
    return torch.export.export(network, (images,)).module()


def trace(network: Classifier, images: Tensor) -> Any:
    return torch.jit.trace(network, images, check_trace=False)


def script(network: Classifier, images: Tensor) -> Any:
    return torch.jit.script(network)


def onnx(network: Classifier, images: Tensor) -> Any:
    program = torch.onnx.export(network, (images,), dynamo=True, verbose=False)
    assert program
    return lambda pictures: program(pictures)[0]


WAYS: dict[str, Callable[[Classifier, Tensor], Any] | None] = {
    "compile": compile_eval,
    "compile, training": None,  # compares gradients, see `compare_training`
    "export": export,
    "TorchScript, trace": trace,
    "TorchScript, script": script,
    "ONNX": onnx,
    "inductor": compile_to_cpp,
}


SLOW_WAYS = {"compile, training", "inductor"}  # minutes for deep networks: one of each file


def compare(name: str, way: str) -> str:
    """Yes, or how far the logits are off."""
    network, images = build(name)
    if not (leave := WAYS[way]):
        return compare_training(network, images)
    network.eval()
    with torch.no_grad(), torch.jit.optimized_execution(False):
        expected = network(images)
        return verdict(leave(network, images)(images), expected)


def compare_training(network: Classifier, images: Tensor) -> str:
    """Yes, or how far the logits of all heads and the gradients of a step are off, in double precision."""
    network = copy.deepcopy(network).double().train()
    found = [step(network, run, images.double()) for run in (network.outputs, compile_training(network))]
    return verdict(found[1], found[0])


def compile_training(network: Classifier) -> Callable[[Tensor], list[tuple[float, Tensor]]]:
    return torch.compile(network.outputs, backend="aot_eager", fullgraph=True)


def step(network: Classifier, run: Callable[[Tensor], list[tuple[float, Tensor]]], images: Tensor) -> Tensor:
    """All logits and all gradients, in one row."""
    network.zero_grad()
    outputs = run(images)
    labels = torch.arange(BATCH) % CLASSES
    torch.stack([weight * nn.functional.cross_entropy(logits, labels) for weight, logits in outputs]).sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return torch.cat([value.detach().flatten() for value in (*(logits for _, logits in outputs), *gradients)])


def verdict(found: Tensor, expected: Tensor) -> str:
    assert expected.isfinite().all() and expected.any(), "the network itself gives no finite, non-zero logits"
    off = ((found - expected).norm() / expected.norm()).item()
    return YES if off <= TOLERANCE else f"off by {off:.1g} of the norm"


# The worker


class Worker:
    """A process that tries ways out; one that hangs or dies is replaced."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.process: Any = None

    def attempt(self, name: str, way: str) -> str:
        if self.process is None:
            self.start()
        try:
            self.pipe.send((name, way))
            if self.pipe.poll(self.timeout):
                said = str(self.pipe.recv())
                if said != YES:
                    self.stop()  # TorchScript remembers what failed, and fails otherwise next time
                return said
            failure = f"not done in {self.timeout:.0f} s"
        except (EOFError, OSError):
            self.process.join()
            failure = f"the process died ({self.process.exitcode})"
        self.stop()
        return failure

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def stop(self) -> None:
        if self.process is not None:
            self.pipe.close()  # it ends when it next asks for work
            self.process.join(1)
            self.process.kill()
            self.process.join()
        self.process = None


def serve(pipe: Connection) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    silence()
    while True:
        try:
            name, way = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(compare(name, way))
        except Exception as error:
            pipe.send(reason(error))
        torch.compiler.reset()


def silence() -> None:
    """What exporters print goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def reason(error: BaseException) -> str:
    """A failure in one short line that a table holds: the innermost cause's."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" :^~")]
    said = f"{type(error).__name__}: {lines[0] if lines else ''}"
    said = re.sub(r" at 0x[0-9a-f]+", "", re.sub(r"\s+", " ", said)).replace("|", "\\|")
    return said if len(said) <= REASON_LENGTH else said[: REASON_LENGTH - 3] + "..."


# The page


def kept_rows(path: Path) -> dict[str, Row]:
    """The rows of a page that these versions made, of networks that there still are."""
    text = path.read_text() if path.exists() else ""
    if versions(MADE_BY) not in text:
        return {}
    table = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in text.splitlines() if line.startswith("| ")]
    known = set(registry.names("models"))
    return {cells[0]: dict(zip(WAYS, cells[1:], strict=True)) for cells in table if cells[0] in known}


def page(rows: dict[str, Row]) -> str:
    lines = [f"| {' | '.join(['network', *WAYS])} |", f"|{'---|' * (len(WAYS) + 1)}"]
    lines += [f"| {' | '.join([name, *row.values()])} |" for name, row in sorted(rows.items())]
    return HEADER.format(
        versions=versions(MADE_BY), onnx=versions(FOR_ONNX), batch=BATCH, classes=CLASSES, tolerance=TOLERANCE,
        counts=counts(rows), table="\n".join(lines),
    )  # fmt: skip


def counts(rows: dict[str, Row]) -> str:
    """How many networks leave each way, of those that tried."""
    tried = {way: [row[way] for row in rows.values() if row[way] != NOT_TRIED] for way in WAYS}
    return "; ".join(f"{way} {found.count(YES)} of {len(found)}" for way, found in tried.items())


def versions(packages: Iterable[str]) -> str:
    return ", ".join(f"{name} {installed(name) or 'is not installed'}" for name in packages)


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


HEADER = """# What leaves eager PyTorch

Made by `python benchmarks/exports.py` on a CPU, with {versions}; {onnx}.

Every network stands at the least input size that it takes, for {classes} classes, without dropout and drop-path, with He's
initialisation and {batch} random pictures. Its batch norms have the statistics of these pictures, but no variance below 1, so
that untrained depth does not enlarge rounding errors. "yes": the result is that of the eager network, to {tolerance} of its norm.
Otherwise the cell has the reason.

- **compile**: `torch.compile(backend="aot_eager", fullgraph=True)` in evaluation mode; logits are compared.
- **compile, training**: the same of `outputs()` in training mode and double precision; the logits of all heads and all
  gradients of a step are compared. Only for the smallest network of each file.
- **export**: `torch.export.export`. **TorchScript**: `torch.jit.trace` and `torch.jit.script`. Logits, in evaluation mode.
- **ONNX**: `torch.onnx.export(dynamo=True)`, run by onnxruntime (`pip install onnx onnxscript onnxruntime`).
- **inductor**: `torch.compile(fullgraph=True)` to C++, only with `--inductor`, for the smallest network of each file.

"yes" of the networks that were tried: {counts}.

{table}
"""  # noqa: E501


if __name__ == "__main__":
    main()
