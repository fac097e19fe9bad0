"""A module beside the handler's."""

import os
import threading

loaded_by = [os.getpid(), id(threading.current_thread())]
caught = []


class Thing:
    def __init__(self, size):
        self.size = size


def fail():
    raise LookupError("the first cause")
