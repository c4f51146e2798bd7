"""Causal SDT, whose utterances attend to the last 64 utterances, themselves included.

Its parameters are those of `configs/sdt.py`.

    mman run --config=configs/sdt_causal.py --workdir=runs/sdt_causal
"""

from mman_jax.configs import mman

get_config = mman.derived("sdt_causal")
