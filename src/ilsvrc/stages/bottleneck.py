"""The console command `ilsvrc bottleneck`, as a module."""

import sys

from ilsvrc.cli import main

if __name__ == "__main__":
    main(["bottleneck", *sys.argv[1:]], prog_name="ilsvrc")
