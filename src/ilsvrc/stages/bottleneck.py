"""Bottleneck of a training on this machine: rates of disk, decoding, loader and network for params.yaml, in a minute.

Needs the packed images (`snakemake --cores all data`); writes nothing.
"""

import argparse
import os
from pathlib import Path

from ilsvrc.config import params
from ilsvrc.pipeline import first_runs, wiring
from ilsvrc.profiling import bottleneck
from ilsvrc.profiling.bottleneck import BottleneckJob
from ilsvrc.profiling.throughput import Machine
from ilsvrc.runtime import entry_point, hardware, restart
from ilsvrc.training import launch


def main(args: argparse.Namespace) -> None:
    """Measures, prints the table, and says which part limits."""
    flow = wiring.Pipeline(params.load(args.params))
    beton, specs = first_runs.packed_train(flow), first_runs.first_runs(flow, args.architectures)
    job = BottleneckJob(beton, tuple(specs), Machine(args.threads, args.gpus, args.loader), args.precision)
    bottleneck.measure(job, follow=lambda line: print(line, flush=True))


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("architectures", nargs="*", help="those of params.yaml where none is named")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the loader, and on a CPU")
    parser.add_argument("--gpus", type=int, choices=(0, 1), default=min(1, hardware.num_gpus()))
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float64")
    parser.add_argument("--loader", default="ffcv", help="ffcv or pillow")
    return parser


if __name__ == "__main__":
    restart.restart_with(launch.ENVIRONMENT)
    entry_point.run(main, arguments())
