"""Small valid files of the public layouts, for mutations to start from."""

import io
import pickle

import numpy as np

from tests.data.readers import public, public_folders
from tests.robustness.mutations import Files


def layouts() -> list[Files]:
    """Every public pickle, in one protocol or another."""
    return [
        {"case.pkl": pickle.dumps(make(), number % (pickle.HIGHEST_PROTOCOL + 1))}
        for number, make in enumerate(public.PICKLES.values())
    ]


def folders() -> list[Files]:
    """Every public folder."""
    return [make() for make in public_folders.FOLDERS.values()]


def tables() -> list[Files]:
    """CSV files of utterances: of one's own, and MELD's."""
    meld = public_folders.meld_csv()["train_sent_emo.csv"]
    return [{"case.csv": public_folders.TABLE}, {"case.csv": meld}]


def csd() -> list[Files]:
    """Computational sequences: of frames alone, and with labels beside them."""
    import h5py

    made = []
    for root, width in (("COVAREP", 3), ("Opinion Segment Labels", 1)):
        file = io.BytesIO()
        with h5py.File(file, "w") as content:
            for video, count in (("va", 4), ("vb", 2)):
                group = content.create_group(f"{root}/data/{video}")
                times = np.arange(2.0 * count).reshape(count, 2)
                group.create_dataset("features", data=np.ones((count, width)), compression="gzip")
                group.create_dataset("intervals", data=times)
        made.append({f"{root.split()[0]}.csd": file.getvalue()})
    return [made[0], made[0] | made[1]]
