"""MMAN with the settings that lower the loss of unseen speakers, see `docs/fusion.md`.

The network is the paper's; the fusion is the geometric mean of the towers' probabilities.

    mman run --config=configs/recommended.py --workdir=runs/mine --config.data.path=mine.npz
"""

from mman_jax.configs import mman

_SETTINGS = {
    "network.fusion.kind": "mean",
    "network.fusion.inputs": "log_probabilities",
}


def get_config(name="mman"):
    return mman.tuned(name, _SETTINGS if name == "mman" else {})
