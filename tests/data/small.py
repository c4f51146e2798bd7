"""A small valid corpus, to break one thing at a time in."""

from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus


def corpus(lengths=(2, 1, 3), dims=None, **changes: Any) -> Corpus:
    """Conversations c0, c1, ... of utterances u0, u1, ...; features count up from 0."""
    total = sum(lengths)
    fields: dict[str, Any] = {
        "features": {
            name: np.arange(total * dim, dtype=np.float32).reshape(total, dim)
            for name, dim in (dims or {"speech": 2, "text": 3}).items()
        },
        "labels": (np.arange(total) % 2).astype(np.int32),
        "label_names": ("no", "yes"),
        "lengths": np.array(lengths, np.int32),
        "conversation_ids": tuple(f"c{i}" for i in range(len(lengths))),
        "utterance_ids": tuple(f"u{u}" for length in lengths for u in range(length)),
        "source": "small",
    }
    return Corpus(**(fields | changes))
