"""The former place of `entry_point` and `messages`."""

from ilsvrc.runtime.entry_point import add_params as add_params
from ilsvrc.runtime.entry_point import parser as parser
from ilsvrc.runtime.entry_point import run as run
from ilsvrc.runtime.messages import log as log
from ilsvrc.runtime.messages import say as say
