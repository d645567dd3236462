"""The console command `ilsvrc prune`, as a module."""

import sys

from ilsvrc.cli import main

if __name__ == "__main__":
    main(["prune", *sys.argv[1:]], prog_name="ilsvrc")
