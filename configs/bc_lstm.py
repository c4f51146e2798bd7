"""bc-LSTM: bi-directional, two levels, the second on the first's frozen activations.

Poria et al. 2017; 5 812 016 parameters on IEMOCAP's features with four classes. Trained as in the
authors' code, but that the best epoch is chosen on validation data; with
`--config.train.select=last` the last one is kept, as there. It sees later utterances.

    mman run --config=configs/bc_lstm.py --workdir=runs/bc_lstm
"""

from mman_jax.configs import mman

get_config = mman.derived("bc_lstm")
