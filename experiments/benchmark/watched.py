"""Recorder of a command's start: `python -m experiments.benchmark.watched FILE run ...`.

FILE receives JSON: `parts`, with the `seconds` and `cpu_seconds` of each `part` of the command; and
`programs`, with the seconds of tracing, lowering and compiling each program, or of reading it from
the cache. This module imports no large libraries, because it measures imports.
"""

import contextlib
import importlib
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_STAGES = {
    "jaxpr_trace_duration": "trace",
    "jaxpr_to_mlir_module_duration": "lower",
    "backend_compile_duration": "compile",
}


class Watch:
    """Records the duration of a command's parts, and the programs that JAX compiles."""

    def __init__(self) -> None:
        self.parts: list[dict[str, Any]] = []
        self.programs: list[dict[str, Any]] = []
        self._start = _clocks()
        self._traced: dict[str, float] = {}

    def end(self, part: str, start: tuple[float, float] | None = None) -> None:
        """Records a part that ends now and began at `start`, by default at the command's start."""
        began, cpu = start or self._start
        now, spent = _clocks()
        self.parts.append({"part": part, "seconds": now - began, "cpu_seconds": spent - cpu})

    def timed(self, part: str, function: Callable) -> Callable:
        """Returns a function that also records each call as a part."""

        def call(*arguments, **named):
            start = _clocks()
            result = function(*arguments, **named)
            self.end(part, start)
            return result

        return call

    def compiled(self, event: str, seconds: float, **details: Any) -> None:
        """Records an event of JAX; a program is traced, then lowered, then compiled."""
        stage, name = _STAGES.get(event.rpartition("/")[2]), details.get("fun_name", "")
        if stage == "trace":
            self._traced[name] = seconds
        elif stage == "lower":
            trace = self._traced.pop(name.removeprefix("jit(").removesuffix(")"), 0.0)
            self.programs.append({"program": name, "trace": trace, "lower": seconds})
        elif stage == "compile":
            for program in self.programs:
                if program["program"] == name and "compile" not in program:
                    program["compile"] = seconds
                    break

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Records compiled programs and, from the standard output, the end of the first epoch."""
        from jax import monitoring

        original = sys.stdout.write

        def write(text: str) -> int:
            if "epoch 1/" in text and all(part["part"] != "first epoch" for part in self.parts):
                self.end("first epoch")
            return original(text)

        sys.stdout.write = write  # type: ignore[method-assign]  # restored below
        monitoring.register_event_duration_secs_listener(self.compiled)
        try:
            yield
        finally:
            sys.stdout.write = original  # type: ignore[method-assign]
            monitoring.unregister_event_duration_listener(self.compiled)


def main() -> None:
    """Runs the command named by the second argument and writes the record to the first."""
    recorder = Watch()
    file, name, *flags = sys.argv[1:]
    sys.argv = [f"experiments/{name}.py", *flags]
    module = importlib.import_module(f"mman_jax.cli.{name}")
    command = importlib.import_module("mman_jax.cli.terminal.command")
    recorder.end("imports")
    if hasattr(module, "load_models"):
        module.load_models = recorder.timed("restoring", module.load_models)
    try:
        with recorder.listening():
            command.run(module)
    finally:
        recorder.end("whole")
        watched = {"parts": recorder.parts, "programs": recorder.programs}
        pathlib.Path(file).write_text(json.dumps(watched), encoding="utf-8")


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main()
