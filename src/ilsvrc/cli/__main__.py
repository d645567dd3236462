"""The console command as a module: `python -m ilsvrc.cli`."""

from ilsvrc.cli import main

main(prog_name="ilsvrc")
