"""SDT: attention between all pairs of modalities of a conversation, with self-distillation.

Ma et al. 2024; 77 377 552 parameters on IEMOCAP's features with four classes. Training follows the
authors' public code, except that the best epoch is selected on validation data. On CPUs,
`--config.network.size=128 --config.network.heads=4` has 1.3 million parameters. It sees later
utterances; `configs/sdt_causal.py` does not.

    mman run --config=configs/sdt.py --workdir=runs/sdt
"""

from mman_jax.configs import mman

get_config = mman.derived("sdt")
