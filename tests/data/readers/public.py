"""Small files of the public layouts: their keys, nesting and kinds, with values to check.

Every builder gives what a pickle holds, or the files of a folder; features of frame t of utterance
n are 10 n + t + column, with zeros around where the layout pads.
"""

import io
import json
import pickle

import numpy as np

PARTS = {"train": ["va", "vb"], "valid": ["vc"], "test": ["vd"]}
CLIPS = (2, 1)  # of each video, in the order of the file
DIMS = {"text": 4, "audio": 2, "vision": 3}
FRAMES = {"text": 5, "audio": 6, "vision": 4}


def padded(count, steps, width, front=False, dtype=np.float32):
    """[N, T, D] and the N lengths: utterance n has 1 + n % (T - 1) frames."""
    array, lengths = np.zeros((count, steps, width), dtype), []
    for n in range(count):
        size = 1 + n % (steps - 1)
        frames = 10 * n + np.arange(1, size + 1)[:, None] + np.arange(width)
        array[n, steps - size :] if front else array[n, :size]
        array[n, slice(steps - size, None) if front else slice(size)] = frames
        lengths.append(size)
    return array, lengths


def mmsa(aligned=False, front=False, sims=False, ids=np.array):
    """MMSA's parts; aligned ones have one length, by the mask of text_bert."""
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
    """A list an utterance of `item(number of the conversation, number in it)`."""
    return {name: [item(c, u) for u in range(c + 1)] for c, name in enumerate(conversations)}


def vectors(conversations, width, add=0.0):
    return by(conversations, lambda c, u: np.full(width, 10 * c + u + add, np.float32))


IEMOCAP = ("Ses01F_impro01", "Ses02M_script01_1", "Ses05M_impro03")
MELD = (0, 1, 1039, 1153)


def iemocap(blocks=1):
    """The nine-tuple; with four blocks of text SDT's twelve."""
    c = IEMOCAP
    ids = {name: [f"{name}_{'FM'[u % 2]}{u:03d}" for u in range(n + 1)] for n, name in enumerate(c)}
    text = [vectors(c, 2, add) for add in range(blocks)]
    head = (ids, by(c, lambda _, u: "FM"[u % 2]), by(c, lambda n, u: (n + u) % 6))
    tail = (vectors(c, 3), vectors(c, 4), by(c, lambda *_: "words"), set(c[:2]), set(c[2:]))
    return (*head, *text, *tail)


def avec():
    """The nine-tuple with numbers for labels."""
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
    """bc-LSTM's seven parts: two conversations in training, one in test; padded to three."""
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


def misa(video="va", emotions=False):
    """One part of MISA's: three segments, the second without frames of sound."""
    return [
        (
            (np.arange(2), np.full((c + 1, 3), float(c)), np.full((c % 2 * 2, 2), 1.0), ["a"] * 2),
            np.array([[c - 1.0, *([0.5] * 6 if emotions else [])]], np.float32),
            f"{video}[{10 - c}]",
        )
        for c in range(3)
    ]


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def merbench(kind="iemocap", frames=False):
    """The files of a folder: labels, and one encoder's array an utterance."""
    if kind == "iemocap":
        names = [f"Ses0{s}F_impro01_{g}00{i}" for s in (1, 2) for g in "FM" for i in range(2)]
        facts = {name: {"emo": n % 6, "val": -10} for n, name in enumerate(names)}
        labels = {"whole_corpus": facts}
    elif kind == "meld":
        names = ["train_dia0_utt0", "train_dia0_utt1", "val_dia0_utt0", "test_dia0_utt0"]
        labels = {
            f"{part}_corpus": {n: {"emo": 3, "val": -10} for n in names if n.startswith(part)}
            for part in ("train", "val", "test")
        }
    else:
        names = ["a_b_2", "a_b_10", "c_1", "d_1"]
        values = zip(names, ("train", "train", "val", "test"), (1.5, -2.0, 0.0, 3.0), strict=True)
        labels = {f"{part}_corpus": {} for part in ("train", "val", "test")}
        for name, part, value in values:
            labels[f"{part}_corpus"][name] = {"emo": 0, "val": np.float64(value)}
    held = {key: np.array(value, object) for key, value in labels.items()}
    files = {"label_6way.npz": npz(**held)}
    kept, shape = ("FRA", (2, 3)) if frames else ("UTT", (3,))
    for n, name in enumerate(names):
        files[f"features/wavlm-base-{kept}/{name}.npy"] = npy(np.full(shape, n, np.float32))
    return files


def emobox(lines=False, meld=False):
    """A fold: training and test lists, and the map of labels above them."""

    def entry(s, i):
        name = f"Ses0{s}F_impro04_F00{i}"
        facts = {"wav": f"downloads/{name}.wav", "length": 1.5 + i, "emo": ("neu", "exc")[i % 2]}
        return f"iemocap-{name}", facts | {"dataset": "iemocap", "channel": 1}

    def of_meld(part, i):
        facts = {"wav": "x.wav", "length": 2, "emo": "joy", "dataset": "meld", "channel": 1}
        return f"meld-dia0_utt{i}-{part}", facts

    made = {"train": [entry(2, i) for i in range(2)], "test": [entry(1, i) for i in range(3)]}
    if meld:
        made = {part: [of_meld(part, i) for i in (1, 0)] for part in ("train", "valid", "test")}
    files = {}
    for part, rows in made.items():
        path = f"fold_1/set_{part}_fold_1.json"
        if lines:
            dumped = (json.dumps({"key": key} | facts) + "\n" for key, facts in rows)
            files[path + "l"] = "".join(dumped).encode()
        else:
            files[path] = json.dumps(dict(rows), indent=4).encode()
    files["label_map.json"] = json.dumps({"neu": "Neutral", "exc": "Happy"}).encode()
    return files


def s3prl():
    """SUPERB's lists of one session."""

    def listed(s, n):
        rows = [
            {"path": f"Session{s}/wav/Ses0{s}F_impro01_F00{i}.wav", "label": ("neu", "hap")[i % 2],
             "speaker": f"Ses0{s}F"} for i in range(n)
        ]  # fmt: skip
        return json.dumps({"labels": {"neu": 0, "hap": 1}, "meta_data": rows}).encode()

    return {
        "Session1/train_meta_data.json": listed(2, 3),
        "Session1/test_meta_data.json": listed(1, 2),
    }


def emotion2vec():
    """Three utterances: of two frames, of none, of one."""
    return {
        "train.npy": npy(np.array([[1, 2], [3, 6], [5, 5]], np.float32)),
        "train.lengths": b"2\n0\n1\n",
        "train.emo": b"Ses01F_impro01_F000\tneu\nSes01F_impro01_M000\thap\n"
        b"Ses01F_impro02_F000\tneu\n",
    }


MELD_HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    "StartTime,EndTime\n"
)


def meld_csv():
    """The three lists, dialogues from 0 in each; utterances of the first not in order."""
    train = '1,"Oh, no",Joey,sadness,negative,0,1,1,1,"00:00:01,500","00:00:03,000"\n'
    train += '2,"What?",Ross,surprise,negative,0,0,1,1,"00:00:00,000","00:00:01,000"\n'
    other = '1,"Hi",Ross,joy,positive,0,0,1,1,"00:59:59,000","01:00:01,000"\n'
    return {
        "train_sent_emo.csv": (MELD_HEADER + train).encode(),
        "dev_sent_emo.csv": (MELD_HEADER + other).encode(),
        "test_sent_emo.csv": (MELD_HEADER + other).encode(),
    }


TABLE = b"""conversation,utterance,label,speech_0,speech_1,face_1,targets/valence,split
a,a1,calm,1,2,5,0.5,train
b,b1,angry,3,4,,,test
a,a2,,5,6,7,-1,train
"""


def lay(folder, files):
    """Writes files by relative path; the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


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
"""What each pickle holds that makes a corpus alone."""

FOLDERS = {
    "merbench": merbench,
    "merbench meld": lambda: merbench("meld"),
    "merbench mosi": lambda: merbench("mosi", frames=True),
    "emobox": emobox,
    "emobox lines": lambda: emobox(lines=True),
    "emobox meld": lambda: emobox(meld=True),
    "emotion2vec": emotion2vec,
    "meld csv": meld_csv,
    "misa": lambda: {f"{part}.pkl": pickle.dumps(misa(f"v{part}"))
                     for part in ("train", "dev", "test")},
}  # fmt: skip
"""The files of each folder that makes a corpus alone."""
