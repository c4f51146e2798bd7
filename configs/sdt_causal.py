"""Causal SDT: an utterance attends to itself and the 63 utterances before it.

Its parameters are those of `configs/sdt.py`.

    mman run --config=configs/sdt_causal.py --workdir=runs/sdt_causal
"""

from mman_jax.configs import mman

get_config = mman.derived("sdt_causal")
