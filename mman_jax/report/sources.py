"""Where the data of a report came from, in words."""

from collections.abc import Mapping
from typing import Any


def trained_and_tested(corpus: Mapping[str, Any]) -> str:
    """On which corpus, or on which two.

    Args:
        corpus: the `corpus` of results.

    Examples:
        >>> trained_and_tested({"path": "a.npz"})
        'trained and tested on a.npz'
        >>> trained_and_tested({"path": "a.npz", "test": {"path": "b.npz", "scaled": "its own"}})
        'trained on a.npz and tested on b.npz (scaled by its own)'
    """
    test = corpus.get("test")
    if not test:
        return f"trained and tested on {corpus['path']}"
    scaled = f" (scaled by {test['scaled']})" if "scaled" in test else ""
    return f"trained on {corpus['path']} and tested on {test['path']}{scaled}"
