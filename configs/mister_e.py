r"""MiSTER-E: gated experts for the context of each of two modalities, and for both together.

Dutta, Balaji and Ganapathy 2026; 41 781 551 parameters on IEMOCAP's speech and text with four
classes. It reads exactly two modalities. On CPUs, `--config.network.context=64
--config.network.layers=1 --config.network.size=128 --config.network.inner=48
--config.network.units=2 --config.train.all.learning_rate.default=1e-4` has 0.8 million parameters.
It sees later utterances; `configs/mister_e_causal.py` does not.

    mman run --config=configs/mister_e.py --config.data.modalities=text,speech \
      --workdir=runs/mister_e
"""

from mman_jax.configs import mman

get_config = mman.derived("mister_e")
