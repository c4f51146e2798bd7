"""Fuzzer of all readers: `python -m tests.robustness.fuzz --cases=20000 --seed=0`.

Each case must end in success or in an `InputError` whose message names the file, without another
exception, a warning, a hang, more than 2 GiB of memory, or a file written. Prints one JSON line per
target. The exit status is 1 if a case failed; its bytes are then under `--keep`.
"""

import dataclasses
import json
import pathlib
import sys
import tempfile
import time
from typing import Any

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.errors import InputError, nearest
from mman_jax.files.whole import check_new
from tests.data.readers.public_folders import lay
from tests.robustness import guard, targets

_CASES = flags.DEFINE_integer("cases", 20000, "Number of cases, shared evenly by the targets.")
_SEED = command.seed_flag("Random seed of the cases.")
_TARGET = flags.DEFINE_list("target", list(targets.TARGETS), "Kinds of input.")
_KEEP = flags.DEFINE_string("keep", None, "Folder for cases that fail.")


def fuzz(
    target: targets.Target, count: int, seed: int, keep: pathlib.Path | None = None
) -> dict[str, Any]:
    """Makes and checks cases of one target.

    Args:
        target: the kind of input.
        count: number of cases.
        seed: random seed of the cases.
        keep: folder for cases that fail, each in `<target>_<number>`.

    Returns:
        Counts, the largest memory (MiB) and time (seconds) of a case, the first few failures.
    """
    began = time.monotonic()
    outcomes = dict.fromkeys((guard.SUCCESS, guard.REFUSAL, guard.FAILURE), 0)
    memory, slowest, printed, failures = 0, 0.0, 0, []
    with (
        tempfile.TemporaryDirectory(prefix="mman_jax_fuzz_") as scratch,
        guard.Guard(target.opener, target.entry, target.seconds) as guarded,
    ):
        for number, files in enumerate(targets.cases(target, count, seed, pathlib.Path(scratch))):
            verdict = guarded.check(files)
            printed += bool(verdict.printed)
            if verdict.printed and target.quiet and verdict.outcome != guard.FAILURE:
                detail = f"printed {verdict.printed}"
                verdict = dataclasses.replace(verdict, outcome=guard.FAILURE, detail=detail)
            outcomes[verdict.outcome] += 1
            memory, slowest = max(memory, verdict.memory), max(slowest, verdict.seconds)
            if verdict.outcome == guard.FAILURE:
                failures.append(f"case {number}: {verdict.detail}")
                if keep is not None:
                    lay(keep / f"{target.name}_{number}", files)
                    (keep / f"{target.name}_{number}.txt").write_text(verdict.detail + "\n")
    return {
        "target": target.name,
        "cases": sum(outcomes.values()),
        "successes": outcomes[guard.SUCCESS],
        "refusals": outcomes[guard.REFUSAL],
        "failures": outcomes[guard.FAILURE],
        "printed": printed,
        "largest_mib": memory >> 20,
        "slowest_seconds": round(slowest, 3),
        "seconds": round(time.monotonic() - began, 1),
        "first_failures": failures[:5],
    }


def main() -> None:
    """Fuzzes the targets that the flags name."""
    for name in _TARGET.value:
        if name not in targets.TARGETS:
            raise InputError("--target", f"unknown {name!r}", nearest(name, targets.TARGETS))
    if _CASES.value < len(_TARGET.value):
        raise InputError("--cases", str(_CASES.value), "at least one per target")
    keep = None if _KEEP.value is None else pathlib.Path(_KEEP.value)
    if keep is not None:
        check_new(keep)
    failures = 0
    for position, name in enumerate(_TARGET.value):
        share, rest = divmod(_CASES.value, len(_TARGET.value))
        report = fuzz(targets.TARGETS[name], share + (position < rest), _SEED.value, keep)
        print(json.dumps(report), flush=True)
        failures += report["failures"]
    if failures:
        sys.exit(1)


if __name__ == "__main__":
    command.run(sys.modules[__name__])
