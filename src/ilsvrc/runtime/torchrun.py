"""torchrun, which ends with its launcher, and writes its own messages to the log only: a worker reports errors."""

import logging
import os
import sys
from collections.abc import Sequence

from ilsvrc.runtime import parent_death

LOG = "ILSVRC_LOG"


def main(words: Sequence[str]) -> int:
    """Runs torchrun with `words`; returns the exit status of the worker that failed first, 0 if none did."""
    parent_death.die_with_parent()
    logging.raiseExceptions = False  # a full disk: the message is lost in silence
    logging.basicConfig(filename=os.environ.get(LOG) or os.devnull, level=logging.WARNING)
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    silence_torch()
    try:
        split = words.index("-m") + 2
        options = run.parse_args(list(words[:split]))  # type: ignore[no-untyped-call]
        options.training_script_args = list(words[split:])  # past its parser, which takes our --log for its own
        run.run(options)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        logging.exception("a worker failed")
        return abs(error.get_first_failure()[1].exitcode) + (128 if error.get_first_failure()[1].exitcode < 0 else 0)
    except SignalException as signalled:
        return 128 + int(signalled.sigval)
    return 0


def silence_torch() -> None:
    """Removes the handlers by which torch's loggers write to the terminal."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.split(".")[0] == "torch" and isinstance(logger, logging.Logger):
            logger.handlers, logger.propagate = [], True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
