"""Rozgic et al. 2012: an ensemble of trees of support vector machines; no context.

Our reading of its abstract. It needs scikit-learn (`pip install 'mman_jax[svm]'`), and is fitted in
one call: of `config.train` only `refit` is used. Nothing is random, so that one seed is enough.

    mman run --config=configs/rozgic.py --workdir=runs/rozgic
"""

from mman_jax.configs import mman

get_config = mman.derived("rozgic")
