"""Linear support vector machines, or logistic regression if there are many utterances; no context.

It needs scikit-learn (`pip install 'mman_jax[svm]'`). It is fitted in one call, which uses only the
field `refit` of `config.train`. Nothing is random, so that one seed is enough.

    mman run --config=configs/linear.py --workdir=runs/linear
"""

from mman_jax.configs import mman

get_config = mman.derived("linear")
