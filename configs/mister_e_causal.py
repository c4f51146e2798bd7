r"""Causal MiSTER-E, which reads the past only. 51 218 735 parameters.

    mman run --config=configs/mister_e_causal.py --config.data.modalities=text,speech \
      --workdir=runs/mister_e_causal
"""

from mman_jax.configs import mman

get_config = mman.derived("mister_e_causal")
