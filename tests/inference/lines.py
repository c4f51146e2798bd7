"""Utterances as lines, and the output lines of a stream."""

import io
import json

import numpy as np

from mman_jax.inference.lines import answer_lines
from tests.inference import trained

CALLED = ("c0", "c1")


def utterances(count=6):
    random = np.random.default_rng(0)
    for i in range(count):
        features = {m: random.normal(size=d).tolist() for m, d in trained.DIMS.items()}
        if i == 3:
            del features["text"]
        yield {"conversation": CALLED[i % 2], "features": features}


def encoded(items):
    return [json.dumps(item).encode() + b"\n" for item in items]


def answered(answerer, given, kept=None):
    sink = io.StringIO()
    answer_lines(answerer, io.BytesIO(b"".join(given)), sink, kept)
    return [json.loads(line) for line in sink.getvalue().splitlines()]
