"""`experiments.predict --stream`: a stream of utterances, as a user pipes it."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from mman_jax.inference.answerer import Answerer
from mman_jax.tasks.metrics import METRICS
from tests import children
from tests.children import ROOT, run
from tests.inference import trained
from tests.inference.lines import answered, encoded, utterances


@pytest.fixture(scope="module")
def answerer():
    """One for all tests: it compiles once, and holds no conversation."""
    return Answerer([trained.model()])


@pytest.fixture(scope="module")
def finished(answerer, tmp_path_factory):
    """The folder of a run, as far as predictions need it."""
    workdir = tmp_path_factory.mktemp("run")
    answerer.models[0].save(workdir / "model" / "auto")
    scores = {"per_seed": [0.5], "mean": 0.5, "std": 0.0}
    part = dict.fromkeys(METRICS, scores)
    head = {"system": "mman", "protocol": "auto", "seeds": [0], "parameters": {"total": 1}}
    head |= {"corpus": {"path": "x", "dimensions": trained.DIMS}, "classes": [*trained.CLASSES]}
    part |= {"confusion": [[1] * 3] * 3, "majority_accuracy": 0.5}
    head |= dict.fromkeys(("validation", "test", "test_oracle"), part) | {"towers": {}}
    (workdir / "results.json").write_text(json.dumps(head | {"seconds": {}, "best_epoch": {}}))
    return workdir


def test_the_command_answers_while_its_input_is_open(answerer, finished):
    command = [sys.executable, "-m", "experiments.predict", f"--checkpoint={finished}", "--stream"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=children.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    given = encoded(utterances(2))
    process.stdin.write(given[0])
    process.stdin.flush()
    first = json.loads(process.stdout.readline())
    rest, errors = process.communicate(given[1] + b"[]\n", timeout=300)
    expected = answered(answerer, given)
    for found, answer in zip((first, json.loads(rest)), expected, strict=True):
        assert found["conversation"] == answer["conversation"]
        assert found["probabilities"] == pytest.approx(answer["probabilities"], abs=5e-6)
    assert process.returncode == 2
    assert errors.decode().startswith("error: stdin: line 3: a list")
    assert len(errors.decode().strip().splitlines()) == 1


def piped(finished, *flags, **streams):
    """The command with pipes; `preexec_fn` stands for what a shell does before it."""
    command = [sys.executable, "-m", "experiments.predict", f"--checkpoint={finished}", "--stream"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
    environment = children.environment()
    return subprocess.Popen([*command, *flags], cwd=ROOT, env=environment, **pipes)


def talk(process, lines):
    """What comes back for each line."""
    found = []
    for line in lines:
        process.stdin.write(line)
        process.stdin.flush()
        found.append(json.loads(process.stdout.readline()))
    return found


def test_a_killed_command_goes_on_from_its_last_save(answerer, finished, tmp_path):
    kept, given = tmp_path / "states", encoded(utterances())
    process = piped(finished, f"--state={kept}", "--state_seconds=0")
    found = talk(process, given[:3])
    assert [answer.get("saved") for answer in found] == [None, 1, 2]
    process.kill()
    process.communicate()
    kept_of = [
        answered(answerer, given[:number], kept=tmp_path / str(number)) and tmp_path / str(number)
        for number in (2, 3)  # the third was told just before: it may be saved or not
    ]
    with np.load(kept) as states:
        card = json.loads(str(states["card"]))
        assert card["conversations"] == ["c0", "c1"]
        close = [
            all(np.allclose(states[k], other[k], atol=1e-5) for k in other if k != "card")
            for other in map(np.load, kept_of)
        ]
    assert any(close)


def test_sigterm_saves_also_while_the_next_line_is_awaited(answerer, finished, tmp_path):
    kept, given = tmp_path / "states", encoded(utterances())
    process = piped(finished, f"--state={kept}")
    talk(process, given[:3])
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert errors.decode() == "stopped by SIGTERM; the same command resumes from here\n"
    rest = answered(answerer, given[3:], kept=kept)
    for found, answer in zip(rest, answered(answerer, given)[3:], strict=True):
        assert found["probabilities"] == pytest.approx(answer["probabilities"], abs=5e-6)


@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        ("<&-", "error: stdin: closed; "),
        (">&-", "error: stdout: closed; "),
        (">/dev/full", "error: answers: cannot be written (No space left on device)"),
    ],
)
def test_streams_that_are_closed_or_full_lose_no_answer_in_silence(finished, redirection, said):
    command = f'"$0" -m experiments.predict --checkpoint={finished} --stream {redirection}'
    ended = subprocess.run(
        ["bash", "-c", command, sys.executable],
        input=encoded(utterances(1))[0],
        cwd=ROOT,
        env=children.environment(),
        capture_output=True,
        timeout=300,
    )
    assert ended.returncode == 2
    assert ended.stderr.decode().startswith(said)
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("flag", ["--state", "--input"])
def test_a_pipe_in_place_of_a_file_is_refused(finished, tmp_path, flag):
    os.mkfifo(tmp_path / "pipe.csv")
    rest = ["--stream"] if flag == "--state" else [f"--output={tmp_path / 'a.csv'}"]
    ended = run(
        "experiments.predict", f"--checkpoint={finished}", f"{flag}={tmp_path / 'pipe.csv'}", *rest
    )
    assert ended.returncode == 2
    assert ended.stderr.strip().endswith("pipe.csv: a pipe; expected the path of a file")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--stream", "--input=a.npz"], "--input: given with --stream"),
        (["--output=a.csv"], "--input: not given"),
        (["--input=a.npz", "--output=a.csv", "--state=s"], "--state: given without --stream"),
    ],
    ids=str,
)
def test_flags_that_do_not_go_together(flags, said, tmp_path):
    ended = run("experiments.predict", f"--checkpoint={tmp_path}", *flags)
    assert ended.returncode == 2
    assert said in ended.stderr
