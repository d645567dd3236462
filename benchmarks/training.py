"""Images a second of whole trainings: ours from packed files, against torchvision's reference loop.

Each variant is a process of its own that trains on and on. All but one are stopped (SIGSTOP): a round lets each run
alone for a few steps, so that a machine that slows down slows all of them, and a loader's lead from the round before
is the same for all. Medians of rounds are compared. Beside whole trainings stand their parts: steps on noise that lies
in memory, in each precision and memory layout, and the loaders alone.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from torch import nn

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import recipe_files, registry, specs
from ilsvrc.datasets import folder
from ilsvrc.models.common.layers import Classifier
from ilsvrc.packing import writer
from ilsvrc.packing.manifest import describe
from ilsvrc.runtime import hardware, parent_death, precision
from ilsvrc.runtime.distributed import World
from ilsvrc.training import build, data, inputs, launch, loop, state
from ilsvrc.training.job import Inputs, Resources
from ilsvrc.training.torch_compile import Compiled

BASELINE = "torchvision"
SAME_NETWORK = {"resnet18_b": "resnet18", "resnet50_b": "resnet50", "densenet121": "densenet121"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORMS = ("original JPEG", "raw")
COMPILED = "compiled"
LAYOUTS = ("channels last", "contiguous")
Told = dict[str, Any]


class Round(NamedTuple):
    images_per_second: float
    cpu_ms_an_image: float
    late: float  # share of the time that the training waited for its loader
    utilization: float  # of the GPU, percent
    compiling: float = 0.0  # seconds, before the first step


def main() -> None:
    options = arguments()
    if options.child:
        parent_death.die_with_parent()
        told = json.loads(options.child)
        CHILDREN[told["kind"]](told, Steps(told))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as scratch:
        place = options.archive.resolve(), Path(scratch)
        for form in FORMS:
            pack_form(*place, form, options)
        for network in options.networks:
            variants = {
                name: told
                for name, told in every_variant(options).items()
                if not options.only or any(word in name for word in options.only)
            }
            before = os.getloadavg()[0]
            children: dict[str, Child] = {}
            try:
                for name, told in variants.items():
                    children[name] = start(told, network, place[1], options)
                found = measure(children, options)
            finally:
                for child in children.values():
                    child.end()
            report(network, found, before, options)


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("archive", type=Path, nargs="?", help="a tar of <split>/<class>/<image>, as flowers17.tar")
    options.add_argument("--networks", nargs="+", default=["resnet18_b"])
    options.add_argument("--crop-px", type=int, default=128)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU cores of each training")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--steps", type=int, default=3, help="steps in a round")
    options.add_argument("--only", nargs="*", help="variants whose name has one of these words")
    options.add_argument("--compile", action="store_true", help="torch.compile too")
    options.add_argument("--json", type=Path, help="folder for every round's figures")
    options.add_argument("--child", help=argparse.SUPPRESS)
    return options.parse_args()


def every_variant(options: argparse.Namespace) -> dict[str, Told]:
    auto = precision.choose("auto", torch.device(options.device))
    lower = auto if auto != "float32" else "bfloat16"
    noise = {"kind": "ours", "loader": "synthetic", "form": FORMS[0]}
    variants: dict[str, Told] = {BASELINE: {"kind": "plain", "precision": "float32"}}
    variants |= {
        f"ilsvrc, {form}": {"kind": "ours", "loader": "ffcv", "form": form, "precision": auto} for form in FORMS
    }
    variants |= {f"loader alone, {form}": {"kind": "loading", "loader": "ffcv", "form": form} for form in FORMS}
    for number_format in ("float32", lower):
        for layout in LAYOUTS:
            variants[f"noise, {number_format}, {layout}"] = noise | {"precision": number_format, "layout": layout}
    variants[f"plain loop, noise, {auto}"] = {"kind": "plain", "precision": auto, "layout": LAYOUTS[0], "noise": True}
    if options.compile:
        variants[f"noise, {auto}, {COMPILED}"] = noise | {"precision": auto, "compile": True}
    return variants


# Data


def pack_form(archive: Path, scratch: Path, form: str, options: argparse.Namespace) -> None:
    """`<form>.beton` and its manifest; the pictures as files, for torchvision."""
    if not (scratch / "pictures").exists():
        with tarfile.open(archive) as tar:
            tar.extractall(scratch / "pictures", filter="data")
    samples = [sample for sample in folder.samples(scratch, {"path": str(archive)}) if sample.split == "train"]
    classes = sorted({sample.label_name for sample in samples})
    labels, path = {name: label for label, name in enumerate(classes)}, scratch / f"{form}.beton"
    packing = writer.pack(samples, labels, scratch, form_spec(form, options.crop_px), path, options.threads)
    manifest = describe(form_spec(form, options.crop_px), "train", classes, packing, samples)
    path.with_suffix(".json").write_text(json.dumps(manifest))


def form_spec(form: str, crop_px: int) -> specs.FormSpec:
    """Raw pictures have a quarter more than the crop on their short side: 160 for 128."""
    if form == "raw":
        return specs.FormSpec(data="benchmark", short_side_px=crop_px * 5 // 4, encoding="raw")
    return specs.FormSpec(data="benchmark")


# A child: one training


class Steps:
    """Hears of a training's steps, and says when each was done; on a GPU one step later, with the next one queued."""

    def __init__(self, told: Told) -> None:
        self.device, self.late, self.events = torch.device(told["device"]), 0.0, deque[Any]()
        self.compiled: Compiled | None = None

    def stepped(self, num_images: int) -> None:
        if self.device.type == "cuda":
            self.events.append(torch.cuda.Event())
            self.events[-1].record()
            if len(self.events) == 1:
                return
            self.events.popleft().synchronize()
        compiling = self.compiled.seconds if self.compiled else 0.0
        print(json.dumps([time.perf_counter(), self.late, compiling]), flush=True)

    def should_stop(self) -> bool:
        return False

    def save(self, progress: Any) -> None:
        """The benchmark leaves no checkpoints."""

    def epoch_ended(self, row: Any) -> None:
        """Nothing is shown."""

    def timed(self, batches: Iterable[Any]) -> Iterator[Any]:
        """`batches`; how long each was waited for is kept."""
        given = iter(batches)
        while True:
            asked = time.perf_counter()
            batch = next(given, None)
            self.late += time.perf_counter() - asked
            if batch is None:
                return
            yield batch


class TimedBatches(NamedTuple):
    batches: Any
    steps: Steps

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Any]:
        with closing(self.batches.epoch(epoch, start_step)) as given:
            yield from self.steps.timed(given)


def ours(told: Told, steps: Steps) -> None:
    """As stages/train_worker.py trains, without validation and checkpoints."""
    spec, manifest, world = specification(told), Manifest.read(manifest_path(told)), World(device=steps.device)
    with opened(told, world) as (batches, _):
        torch.set_num_threads(told["threads"])
        beside = inputs.TrainingInputs(not_compiled=sys.exit if told.get("compile") else None)
        training = build.prepare(spec, manifest, len(batches), world, told["precision"], beside)
        if told.get("layout") == "contiguous":
            training.network.to(memory_format=torch.contiguous_format)
            training.objective.normalization = nn.Sequential(training.objective.normalization, Contiguous())
        if isinstance(training.distributed, Compiled):
            steps.compiled = training.distributed
        progress = state.Progress()
        while True:
            progress.history.append(loop.train_epoch(training, TimedBatches(batches, steps), progress, steps))
            progress.step, progress.sums, progress.seconds = 0, [0.0, 0.0, 0.0], 0.0


class Contiguous(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.contiguous()


def loading(told: Told, steps: Steps) -> None:
    """The loader of `ours`, whose batches nobody uses."""
    with opened(told, World()) as (batches, _):
        for epoch in range(sys.maxsize):
            for _batch in batches.epoch(epoch):
                steps.stepped(told["batch"])


def opened(told: Told, world: World) -> Any:
    beton, manifest = Path(told["scratch"]) / f"{told['form']}.beton", manifest_path(told)
    packed = Inputs(train=beton, train_manifest=manifest, val=beton, val_manifest=manifest)
    resources = Resources(loader=told["loader"], threads=told["threads"])
    return data.opened(packed, resources, specification(told), Manifest.read(manifest), world)


def manifest_path(told: Told) -> Path:
    return Path(told["scratch"]) / f"{told['form']}.json"


def specification(told: Told) -> specs.TrainSpec:
    """torchvision's augmentation and optimizer, at a rate at which no network goes astray."""
    changes = {
        "batch_size": told["batch"], "reference_batch_size": told["batch"], "learning_rate": 1e-3, "epochs": 1_000_000,
        "schedule": "constant", "warmup_epochs": 0, "label_smoothing": 0.0, "decay": "all",
        "grows_px": None,
    }  # fmt: skip
    return specs.TrainSpec(
        form=form_spec(told["form"], told["crop_px"]),
        architecture=told["network"],
        crop_px=told["crop_px"],
        recipe=recipe_files.resolve_recipe("fast", told["network"], changes),
    )


def plain(told: Told, steps: Steps) -> None:
    """The loop of torchvision's references/classification/train.py; its network, where ours is the same one.

    In lower precisions images and weights are channels last.
    """
    torch.set_num_threads(told["threads"])
    layout = torch.channels_last if told.get("layout") == "channels last" else torch.contiguous_format
    loader = noise(told) if told.get("noise") else image_folder(told)
    network = plain_network(told).to(steps.device, memory_format=layout).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    criterion, autocast = nn.CrossEntropyLoss(), precision.autocast(told["precision"], steps.device)
    while True:
        for images, labels in steps.timed(loader):
            images = images.to(steps.device, memory_format=layout, non_blocking=True)
            labels = labels.to(steps.device, non_blocking=True)
            with autocast():
                heads = network.outputs(images) if isinstance(network, Classifier) else [(1.0, network(images))]
                loss = sum(weight * criterion(logits, labels) for weight, logits in heads)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.inference_mode():
                correct = heads[0][1].topk(5).indices == labels[:, None]
                _shown = loss.item(), correct[:, :1].sum().item(), correct.sum().item()
            steps.stepped(len(images))


def plain_network(told: Told) -> nn.Module:
    num_classes = len(Manifest.read(manifest_path(told))["classes"])
    if told["network"] in SAME_NETWORK:
        import torchvision

        made: nn.Module = torchvision.models.get_model(SAME_NETWORK[told["network"]], num_classes=num_classes)
        return made
    ours_: nn.Module = registry.architecture(told["network"])(num_classes=num_classes, input_px=told["crop_px"])
    return ours_


def image_folder(told: Told) -> Iterable[Any]:
    from torchvision import datasets, transforms

    train_ = next(path for path in sorted((Path(told["scratch"]) / "pictures").rglob("train")) if path.is_dir())
    looks = [
        transforms.RandomResizedCrop(told["crop_px"]), transforms.RandomHorizontalFlip(), transforms.PILToTensor(),
        transforms.ConvertImageDtype(torch.float), transforms.Normalize(MEAN, STD),
    ]  # fmt: skip
    return torch.utils.data.DataLoader(
        datasets.ImageFolder(str(train_), transforms.Compose(looks)), batch_size=told["batch"], shuffle=True,
        drop_last=True, num_workers=told["threads"], persistent_workers=True, pin_memory=told["device"] != "cpu",
    )  # fmt: skip


def noise(told: Told) -> Iterable[Any]:
    images = torch.randn(told["batch"], 3, told["crop_px"], told["crop_px"]).to(told["device"])
    labels = torch.zeros(told["batch"], dtype=torch.int64, device=told["device"])
    return [(images, labels)] * 100


CHILDREN: dict[str, Callable[[Told, Steps], None]] = {"ours": ours, "loading": loading, "plain": plain}


# The parent: who runs when


class Child(NamedTuple):
    process: "subprocess.Popen[str]"
    batch: int

    def run(self, steps: int, on_gpu: bool) -> Round:
        """Goes on for as many whole steps, and is stopped in the middle of the next one."""
        began = time.perf_counter()
        os.killpg(self.process.pid, signal.SIGCONT)
        first, cpu = self.step(began), self.cpu_seconds()
        for _ in range(steps):
            last = self.step(began)
        cpu, utilization = self.cpu_seconds() - cpu, gpu_percent() if on_gpu else 0.0
        os.killpg(self.process.pid, signal.SIGSTOP)
        seconds, images = last[0] - first[0], steps * self.batch
        return Round(images / seconds, 1e3 * cpu / images, (last[1] - first[1]) / seconds, utilization, last[2])

    def step(self, after: float) -> list[float]:
        """When the next step was done; those from before it was last stopped do not count."""
        while True:
            line = self.process.stdout.readline()  # type: ignore[union-attr]
            if not line:
                raise SystemExit(f"a variant ended with status {self.process.wait()}")
            at: list[float] = json.loads(line)
            if at[0] > after:
                return at

    def cpu_seconds(self) -> float:
        """Of the process, its threads, and its children."""
        own = psutil.Process(self.process.pid)
        alive = [child.cpu_times() for child in own.children(recursive=True)]
        return sum(own.cpu_times()[:4]) + sum(sum(times[:4]) for times in alive)

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(told: Told, network: str, scratch: Path, options: argparse.Namespace) -> Child:
    """A variant, after its first steps, stopped. torchvision's loop has the environment that a person would give it."""
    told = {"form": FORMS[0], "network": network, "scratch": str(scratch), "crop_px": options.crop_px} | told
    told |= {name: getattr(options, name) for name in ("batch", "threads", "device")}
    kept = {parent_death.PARENT: str(os.getpid()), launch.COMPILED: str(scratch / "compiled")} | (
        {} if told["kind"] == "plain" else launch.ENVIRONMENT
    )
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", json.dumps(told)], stdout=subprocess.PIPE, text=True,
        start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": str(options.threads)} | kept,
    )  # fmt: skip
    child = Child(process, options.batch)
    try:
        child.run(1, on_gpu=False)
    except BaseException:
        child.end()
        raise
    return child


def gpu_percent() -> float:
    """Share of the last moment in which the GPU had work."""
    words = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def measure(children: dict[str, Child], options: argparse.Namespace) -> dict[str, list[Round]]:
    """Each round's figures; Ctrl-C and `timeout` end the rounds and leave those that are done."""
    found: dict[str, list[Round]] = {name: [] for name in children}
    try:
        for _ in range(options.rounds):
            for name, child in children.items():
                found[name].append(child.run(options.steps, options.device == "cuda"))
    except KeyboardInterrupt:
        if not all(found.values()):
            raise
    whole = min(map(len, found.values()))
    return {name: rounds[:whole] for name, rounds in found.items()}


# What is said of it


def report(network: str, found: dict[str, list[Round]], before: float, options: argparse.Namespace) -> None:
    print(f"\n## {network}\n\n{circumstances(before, len(next(iter(found.values()))), options)}\n")
    print("| variant | images/s | slowest to fastest round | ratio | CPU ms an image | loader late | GPU |")
    print("|---|---|---|---|---|---|---|")
    rates = {name: statistics.median(r.images_per_second for r in rounds) for name, rounds in found.items()}
    for name, rounds in found.items():
        cpu, late, gpu = (statistics.median(column) for column in list(zip(*rounds, strict=True))[1:4])
        span = f"{min(rounds).images_per_second:.1f} to {max(rounds).images_per_second:.1f}"
        ratio = f"{rates[name] / rates[BASELINE]:.2f}" if BASELINE in rates else ""
        print(f"| {name} | {rates[name]:.1f} | {span} | {ratio} | {cpu:.1f} | {late:.1%} | {gpu:.0f} % |")
    say_of_loading(rates, options)
    say_of_loading(
        {name: 1 / statistics.median(r.cpu_ms_an_image for r in rounds) for name, rounds in found.items()},
        options,
        "processors' ",
    )
    say_of_the_rule(rates, options)
    say_of_compiling(rates, found, options)
    if options.json:
        options.json.mkdir(parents=True, exist_ok=True)
        (options.json / f"{network}.json").write_text(json.dumps(found, indent=1) + "\n")


def circumstances(before: float, rounds: int, options: argparse.Namespace) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    wide = sorted(flag for flag in flags if flag.startswith(("amx", "avx512", "avx2")))
    return (
        f"{hardware.gpu_names()[:1] if options.device == 'cuda' else 'CPU'}, {', '.join(wide)};\n"
        f"{options.crop_px} px, batches of {options.batch}, {options.threads} threads and workers, {rounds} "
        f"rounds of {options.steps} steps, torch {torch.__version__},\nload average {before:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after of {os.cpu_count()} cores; ratios are of medians, against {BASELINE}"
    )


def say_of_loading(rates: dict[str, float], options: argparse.Namespace, whose: str = "the clock's ") -> None:
    """On a CPU steps and loading share the cores, on a GPU they do not."""
    if whose != "the clock's " and options.device != "cpu":
        return
    stepping = rates.get(f"noise, {precision.choose('auto', torch.device(options.device))}, {LAYOUTS[0]}")
    for form in FORMS:
        whole, alone = rates.get(f"ilsvrc, {form}"), rates.get(f"loader alone, {form}")
        if whole and alone and stepping:
            on_cpu = options.device == "cpu"
            bound = 1 / (1 / stepping + 1 / alone) if on_cpu else min(stepping, alone)
            shares = f"{whole / bound:.3f} of what its parts allow, {whole / stepping:.3f} of noise"
            print(f"\n{form}, by {whose}seconds: {shares}")


def say_of_the_rule(rates: dict[str, float], options: argparse.Namespace) -> None:
    chosen = f"noise, {precision.choose('auto', torch.device(options.device))}, {LAYOUTS[0]}"
    rivals = {name: rate for name, rate in rates.items() if name.startswith("noise") and "compiled" not in name}
    if chosen in rivals and len(rivals) > 1:
        best = max(rivals, key=lambda name: rivals[name])
        print(f"\nauto takes {chosen!r}; the fastest is {best!r}, {rates[best] / rates[chosen]:.3f} times as fast")


def say_of_compiling(rates: dict[str, float], found: dict[str, list[Round]], options: argparse.Namespace) -> None:
    """What it costs, and after how many steps that is paid back."""
    for name in (name for name in rates if name.endswith(COMPILED)):
        plain, seconds = rates.get(name.replace(COMPILED, LAYOUTS[0])), found[name][-1].compiling
        if plain:
            saved = options.batch / plain - options.batch / rates[name]
            after = f"after {seconds / saved:.0f} steps" if saved > 0 else "never"
            print(f"\n{name}: {rates[name] / plain:.2f} times as fast; {seconds:.0f} s to compile, paid back {after}")


if __name__ == "__main__":
    main()
