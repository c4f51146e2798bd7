"""Rozgic et al. 2012: an ensemble of trees of support vector machines; no context.

It follows the abstract of the publication. It needs scikit-learn (`pip install 'mman_jax[svm]'`).
It is fitted in one call, which uses only the field `refit` of `config.train`. Nothing is random, so
that one seed is enough.

    mman run --config=configs/rozgic.py --workdir=runs/rozgic
"""

from mman_jax.configs import mman

get_config = mman.derived("rozgic")
