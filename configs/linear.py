"""Linear support vector machines, or for many utterances logistic regression; no context.

It needs scikit-learn (`pip install 'mman_jax[svm]'`), and is fitted in one call: of `config.train`
only `refit` is used. Nothing is random, so that one seed is enough.

    mman run --config=configs/linear.py --workdir=runs/linear
"""

from mman_jax.configs import mman

get_config = mman.derived("linear")
