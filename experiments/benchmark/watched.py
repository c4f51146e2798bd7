"""A command as it is, and when it had what: `python -m experiments.benchmark.watched FILE run ...`.

FILE gets JSON: `parts`, a list of what took how long, each with a `part`, its `seconds` and
`cpu_seconds`; and `programs`, the seconds of each that was compiled, of tracing, lowering and
compiling (or reading what was compiled before).
"""

import importlib
import json
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

_STAGES = {
    "jaxpr_trace_duration": "trace",
    "jaxpr_to_mlir_module_duration": "lower",
    "backend_compile_duration": "compile",
}
_FIRST_EPOCH = "epoch 1/"


class Watch:
    """Notes how long parts of a command take."""

    def __init__(self):
        self.parts: list[dict[str, Any]] = []
        self.programs: list[dict[str, Any]] = []
        self._began = self._clocks()
        self._traced: dict[str, float] = {}

    def ended(self, part: str, since: tuple[float, float] | None = None) -> None:
        """Notes a part that ends now.

        Args:
            part: its name.
            since: clocks when it began; by default those of the command.
        """
        before = since or self._began
        seconds, cpu = (now - then for now, then in zip(self._clocks(), before, strict=True))
        self.parts.append({"part": part, "seconds": seconds, "cpu_seconds": cpu})

    def timed(self, part: str, function: Callable) -> Callable:
        """The same function, noted."""

        def call(*arguments, **named):
            since = self._clocks()
            found = function(*arguments, **named)
            self.ended(part, since)
            return found

        return call

    def compiled(self, event: str, seconds: float, **about: Any) -> None:
        """Listens to JAX: tracing, lowering and compiling of a program, one after the other."""
        stage, name = _STAGES.get(event.rpartition("/")[2]), about.get("fun_name", "")
        if stage == "trace":
            self._traced[name] = seconds
        elif stage == "lower":
            trace = self._traced.pop(name.removeprefix("jit(").removesuffix(")"), 0.0)
            self.programs.append({"program": name, "trace": trace, "lower": seconds})
        elif stage == "compile":
            open_ = [p for p in self.programs if p["program"] == name and "compile" not in p]
            for program in open_[:1]:
                program["compile"] = seconds

    def write(self, text: str) -> int:
        """In place of standard output's: notes the end of the first epoch."""
        if _FIRST_EPOCH in text and all(part["part"] != "first epoch" for part in self.parts):
            self.ended("first epoch")
        return self._write(text)

    def listen(self) -> None:
        """From now on what is printed and compiled is noted."""
        from jax import monitoring

        self._write, sys.stdout.write = sys.stdout.write, self.write
        monitoring.register_event_duration_secs_listener(self.compiled)

    def ignore(self) -> None:
        """From now on nothing is noted."""
        from jax import monitoring

        sys.stdout.write = self._write
        monitoring.unregister_event_duration_listener(self.compiled)

    @staticmethod
    def _clocks() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def main() -> None:
    """Runs the command that is named, watched."""
    watch = Watch()
    file, name, *rest = sys.argv[1:]
    sys.argv = [f"experiments/{name}.py", *rest]
    module = importlib.import_module(f"mman_jax.cli.{name}")
    command = importlib.import_module("mman_jax.cli.terminal.command")
    watch.ended("imports")
    watch.listen()
    if hasattr(module, "load_models"):
        module.load_models = watch.timed("restoring", module.load_models)
    try:
        command.run(module)
    finally:
        watch.ended("whole")
        told = {"parts": watch.parts, "programs": watch.programs}
        pathlib.Path(file).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
