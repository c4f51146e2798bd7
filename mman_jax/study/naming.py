"""Short names of paths, each its own."""

import pathlib
from collections.abc import Sequence


def distinct(paths: Sequence[pathlib.Path]) -> list[str]:
    """The ends of some paths, as long as it takes to tell them apart; the paths all differ.

    Examples:
        >>> distinct([pathlib.Path("runs/a/systems/mman"), pathlib.Path("runs/clstm_lf")])
        ['mman', 'clstm_lf']
        >>> distinct([pathlib.Path("a/systems/mman"), pathlib.Path("b/systems/mman")])
        ['a/systems/mman', 'b/systems/mman']
    """
    longest = max((len(path.parts) for path in paths), default=1)
    for parts in range(1, longest + 1):
        names = ["/".join(path.parts[-parts:]) or str(path) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
