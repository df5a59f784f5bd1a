"""`command: ...`: a program that does one batch and ends; `{batch}` in its words becomes the size."""

from __future__ import annotations

import os
import shlex
import subprocess

from calibration.environment import Environment, environment
from calibration.subjects.base import At, Clock, Setting, Subject, Target, Work, refuse
from simulator.errors import InputError, MeasurementError

PREFIX = "command:"


class Command(Target):
    """A program, started anew for each batch: what is timed holds its start."""

    boundary = "a program from its start to its end, its start included; cpu_ns is its own and its children's"

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__(setting)
        refuse(setting, "a command")
        text = name.removeprefix(PREFIX).strip()
        try:
            self._words = shlex.split(text)
        except ValueError as error:
            raise InputError(f"{text!r} cannot be split into words ({error})", fix="close its quotes") from None
        if not self._words:
            raise InputError("no command is given", fix="write it such as 'command: python infer.py --batch {batch}'")
        self._text = text
        self.facts = Subject(
            name="command",
            origin="command",
            description=text,
            inputs="n, told to the command",
            dtype="unknown",
            mode="a process for each batch",
        )

    def work(self, at: At) -> Work:
        """One run of the program."""
        batch = at["batch"]
        if batch != 1 and "{batch}" not in self._text:
            problem = f"the command has no place for a batch of {batch}"
            raise InputError(problem, path="--batches", fix="write {batch} where it takes its size, or --batches 1")
        words = [word.replace("{batch}", str(batch)) for word in self._words]

        def run(_: None) -> None:
            try:
                end = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            except OSError as error:
                raise InputError(
                    f"{words[0]!r} cannot be started ({error.strerror})", fix="check the command"
                ) from None
            if end.returncode:
                said = end.stderr.decode(errors="replace").strip().split("\n")[-1]
                raise MeasurementError(f"it ended with {end.returncode}" + (f": {said}" if said else ""))

        return Work(None, run)

    def clock(self, threads: int) -> Clock:
        """That of the program and of what it starts."""
        return "children"

    def environment(self, threads: int) -> Environment:
        """This host, with every processor."""
        # Nothing tells a program how many threads to use, so it may use them all.
        return environment("cpu", os.cpu_count() or 1)
