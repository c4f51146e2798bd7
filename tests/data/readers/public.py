"""Small files of the public layouts, whose values follow a rule.

Every builder returns the content of a pickle. Features of frame t of utterance n are
10 n + t + column, with zeros where the layout pads.
"""

import pickle

import numpy as np

PARTS = {"train": ["va", "vb"], "valid": ["vc"], "test": ["vd"]}
CLIPS = (2, 1)  # of each video, in file order
DIMS = {"text": 4, "audio": 2, "vision": 3}
FRAMES = {"text": 5, "audio": 6, "vision": 4}


def padded(count, steps, width, front=False, dtype=np.float32):
    """Features [N, T, D] and N lengths: utterance n has 1 + n % (T - 1) frames."""
    array, lengths = np.zeros((count, steps, width), dtype), []
    for n in range(count):
        size = 1 + n % (steps - 1)
        frames = 10 * n + np.arange(1, size + 1)[:, None] + np.arange(width)
        array[n, steps - size :] if front else array[n, :size]
        array[n, slice(steps - size, None) if front else slice(size)] = frames
        lengths.append(size)
    return array, lengths


def mmsa(aligned=False, front=False, sims=False, ids=np.array):
    """MMSA's parts; aligned modalities have the lengths of the mask in text_bert."""
    made = {}
    for part, videos in PARTS.items():
        names = [f"{video}$_${clip}" for video in videos for clip in CLIPS]
        n = len(names)
        fields = {"id": ids(names), "raw_text": np.array(["WORDS"] * n)}
        mask = np.zeros((n, FRAMES["text"]), np.float32)
        for key, width in DIMS.items():
            steps = FRAMES["text" if aligned else key]
            dtype = np.float32 if key == "text" else np.float64
            fields[key], lengths = padded(n, steps, width, front and key != "text", dtype)
            if not aligned and key != "text":
                fields[f"{key}_lengths"] = lengths
            if key == "text":
                mask[:] = fields[key].any(2)
                fields[key][mask == 0] = 7.0  # BERT's last layer is not zero on the padding
        fields["text_bert"] = np.stack([mask * 101, mask, mask * 0], 1)
        y = np.resize([0.0, -1.5, 2.0], n)
        fields["regression_labels"] = y
        fields["classification_labels"] = np.sign(y) + 1
        names = np.array(["Negative", "Neutral", "Positive"])
        fields["annotations"] = names[(np.sign(y) + 1).astype(int)]
        if sims:
            fields |= {f"regression_labels_{m}": y / 3 for m in "TAV"}
        made[part] = fields
    return made


def mult(kind="mosi", front=True):
    """Multimodal-Transformer's and MultiBench's parts: mosi, mosei, iemocap, raw, humor."""
    made = {}
    for part, videos in PARTS.items():
        n = 2 * len(videos)
        fields = {key: padded(n, FRAMES[key], width, front)[0] for key, width in DIMS.items()}
        y = np.resize([0.0, -1.5, 2.0], n).astype(np.float32)
        clips = [(video, clip) for video in videos for clip in CLIPS]
        fields["labels"] = y.reshape(n, 1, 1)
        if kind == "mosi":
            rows = [[f"{v}_{c}".encode(), b"0.0", b"1.5"] for v, c in clips]
            fields["id"] = np.array(rows, object)
        elif kind == "mosei":
            fields["id"] = np.array([[v, f"{c}.25", f"{c + 1}.0"] for v, c in clips], object)
        elif kind == "raw":
            fields["id"] = np.array([f"{v}[{c}]" for v, c in clips])
        elif kind == "seven":
            fields["id"] = np.array([[f"{v}[{c}]".encode()] for v, c in clips])
            fields["labels"] = np.concatenate([y[:, None], np.ones((n, 6))], 1)[:, None]
        elif kind == "humor":
            fields["id"] = np.arange(n)[:, None] + 100 * len(made)
            fields["labels"] = (np.arange(n) % 2)[:, None]
        else:
            fields["labels"] = np.eye(2, dtype=int)[
                np.resize([[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]], (n, 4))
            ]
        made[part] = fields
    return made


def by(conversations, item):
    """Lists of `item(conversation, utterance)`; conversation c has c + 1 utterances."""
    return {name: [item(c, u) for u in range(c + 1)] for c, name in enumerate(conversations)}


def vectors(conversations, width, add=0.0):
    return by(conversations, lambda c, u: np.full(width, 10 * c + u + add, np.float32))


IEMOCAP = ("Ses01F_impro01", "Ses02M_script01_1", "Ses05M_impro03")
MELD = (0, 1, 1039, 1153)


def iemocap(blocks=1):
    """The 9-tuple; with four blocks of text, SDT's 12-tuple."""
    c = IEMOCAP
    ids = {name: [f"{name}_{'FM'[u % 2]}{u:03d}" for u in range(n + 1)] for n, name in enumerate(c)}
    text = [vectors(c, 2, add) for add in range(blocks)]
    head = (ids, by(c, lambda _, u: "FM"[u % 2]), by(c, lambda n, u: (n + u) % 6))
    tail = (vectors(c, 3), vectors(c, 4), by(c, lambda *_: "words"), set(c[:2]), set(c[2:]))
    return (*head, *text, *tail)


def avec():
    """The 9-tuple with numbers as labels."""
    made = list(iemocap())
    made[1] = by(IEMOCAP, lambda _, u: ("user", "operator")[u % 2])
    made[2] = by(IEMOCAP, lambda n, u: [0.25, -0.5, 0.0][(n + u) % 3])
    return tuple(made)


def meld(visual=True, blocks=1):
    """MELD of nine parts (without visual), ten, or SDT's thirteen (with four blocks of text)."""
    c = MELD
    roles = np.eye(9, dtype=int).tolist()
    head = (
        by(c, lambda _, u: str(u)),
        by(c, lambda n, u: roles[(n + u) % 9]),
        by(c, lambda n, u: (n + u) % 7),
        *(vectors(c, 2, add) for add in range(blocks)),
        vectors(c, 3),
    )
    more = (vectors(c, 4),) if visual else ()
    sentiment = by(c, lambda n, u: (n + u) % 3)
    return (*head, *more, by(c, lambda *_: "words"), list(c[:3]), list(c[3:]), sentiment)


def cosmic(meld=False, features=True):
    """COSMIC's and M3NET's lists."""
    c = MELD if meld else IEMOCAP
    roles = np.eye(9, dtype=int).tolist()
    speakers = by(c, lambda n, u: roles[(n + u) % 9] if meld else "FM"[u % 2])
    labels = [by(c, lambda n, u: (n + u) % 6)]
    labels += [by(c, lambda n, u: u % 3)] if meld else []
    text = [vectors(c, 2, add) for add in range(4)] if features else []
    split = [[c[0]], [c[-1]], list(c[1:-1])]
    return [speakers, *labels, *text, by(c, lambda *_: "words"), *split]


def bc_lstm_pickle(one_hot=False):
    """bc-LSTM's seven parts: two training conversations and one test conversation."""
    features = [np.arange(18.0).reshape(2, 3, 3), np.arange(9.0).reshape(1, 3, 3)]
    labels = [np.array([[0.0, 1, 0], [1, 1, 0]]), np.array([[1.0, 0, 0]])]
    if one_hot:
        labels = [np.eye(2)[marks.astype(int)] for marks in labels]
    return (features[0], labels[0], features[1], labels[1], 3, [3, 2], [1])


def meld_vectors(by_dialogue=False):
    """MELD.Features.Models' three dicts."""
    if by_dialogue:
        block = np.zeros((4, 3), np.float32)
        block[:2] = [[1, 2, 3], [0, 0, 4]]
        return [{0: block, 1: block}, {0: block}, {0: block}]
    row = np.arange(3, dtype=np.float32)
    return [{"0_0": row, "0_1": row + 1, "1_0": row + 2}, {"0_0": row + 3}, {"0_0": row + 4}]


def mfn():
    """Arrays by modality and part: four reviews of at most four words."""
    speech, faces = np.zeros((2, 4, 2), "float32"), np.zeros((2, 4, 1), "float32")
    speech[:] = np.arange(1.0, 9).reshape(2, 4, 1)
    faces[:, :3, 0] = [[0, 0, 0], [1, 2, 3]]
    speech[1, [1, 3]] = 0
    two, one = np.ones((1, 4, 2), "float32"), np.ones((1, 4, 1), "float32")
    keep = np.float32([1, 1, 0, 0]).reshape(1, 4, 1)
    ratings = {"train": [1, 3.5], "valid": [5], "test": [3]}
    made = {f"mmmo_y_{part}": np.float32(own) for part, own in ratings.items()}
    made |= {"mmmo_audio_train": speech, "mmmo_video_train": faces}
    made |= {"mmmo_audio_valid": two * keep, "mmmo_video_valid": one * keep}
    made |= {"mmmo_audio_test": two * keep[:, ::-1] * keep, "mmmo_video_test": one * 0}
    made["mmmo_audio_test"][0, 0] = 1
    return made | {"mmmo_text_valid": two, "mmmo_text_test": two}


def misa(video="va", emotions=False):
    """One part of MISA's data: three segments, of which only the second has sound."""
    return [
        (
            (np.arange(2), np.full((c + 1, 3), float(c)), np.full((c % 2 * 2, 2), 1.0), ["a"] * 2),
            np.array([[c - 1.0, *([0.5] * 6 if emotions else [])]], np.float32),
            f"{video}[{10 - c}]",
        )
        for c in range(3)
    ]


def change(part, key, value):
    """A function that replaces, or with None removes, an entry of a part."""

    def apply(made):
        if value is None:
            del made[part][key]
        else:
            made[part][key] = value(made[part][key]) if callable(value) else value
        return made

    return apply


def dump(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


PICKLES = {
    "mmsa": mmsa,
    "mmsa aligned": lambda: mmsa(aligned=True),
    "sims": lambda: mmsa(sims=True),
    "fet": lambda: mmsa(front=True) | {"config": {"audio": {"tool": "librosa"}}},
    **{f"mult {kind}": lambda kind=kind: mult(kind)
       for kind in ("mosi", "mosei", "iemocap", "raw", "humor", "seven")},
    "iemocap": iemocap,
    "avec": avec,
    "meld": meld,
    "meld of nine": lambda: meld(visual=False),
    "sdt iemocap": lambda: iemocap(4),
    "sdt meld": lambda: meld(blocks=4),
    "cosmic": cosmic,
    "cosmic meld": lambda: cosmic(meld=True),
    "bc-lstm": bc_lstm_pickle,
    "meld vectors": meld_vectors,
    "meld vectors by dialogue": lambda: meld_vectors(by_dialogue=True),
    "misa": misa,
}  # fmt: skip
"""Builders of the pickles that are complete corpora."""
