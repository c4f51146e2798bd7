"""A system as what compiled programs are kept by."""

import dataclasses

from mman_jax.systems.base import System


@dataclasses.dataclass(frozen=True)
class Key:
    """A static argument of a compiled function: equal systems are one program.

    A system itself is none: what it is built of may be tables, which have no hash.

    Attributes:
        system: whose network the function runs.
    """

    system: System

    def __hash__(self) -> int:
        return hash((type(self.system), self.system.modalities, self.system.classes))
