"""Small folders and lists of the public layouts: contents by relative path."""

import io
import json
import pickle

import numpy as np

from tests.data.readers import public


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def merbench(kind="iemocap", frames=False):
    """Labels, and one encoder's array for each utterance."""
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
    """A fold: lists of training and test, and a map of labels."""

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
    """SUPERB's lists for one session."""

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
    """Three utterances of 2, 0 and 1 frames."""
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


TRANSCRIPTS = [
    ("b_x_1", "FIRST, WITH A COMMA", "3", "1"),
    ("b_x_10", 'TENTH "QUOTED"', "3", "0"),
    ("b_x_2", "SECOND", "3", "1"),
    ("a_1", "OTHER", "1", "0"),
    ("t_2", "TEST", "1", "1"),
    ("t_1", "TEST", "1", "0"),
]
ROWS = {"train": [1, 3, 0, 2], "test": [4, 5]}


def quoted(rows):
    """A CSV file with quotes around every cell."""
    cells = [['"' + str(value).replace('"', '""') + '"' for value in row] for row in rows]
    return "".join(",".join(row) + "\n" for row in cells).encode()


def bc_lstm(rows=ROWS, dims=(("text", 2), ("audio", 1), ("video", 3)), transcripts=TRANSCRIPTS):
    """Two training conversations and a test conversation; feature d of row r is 10 r + d."""
    files = {"transcripts.csv": quoted(transcripts)}
    for part, numbers in rows.items():
        files[f"text_{part}.csv"] = quoted([[n, 0.5] for n in numbers])
        for name, dim in dims:
            table = [[*(10.0 * n + d for d in range(dim)), transcripts[n][3]] for n in numbers]
            files[f"{name}/{name}_{part}0.csv"] = quoted(table)
    return files


def meld_csv():
    """MELD's three lists, each with dialogues from 0; the first is not in order."""
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
    """Writes files by relative path, and returns the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


FOLDERS = {
    "bc-lstm": bc_lstm,
    "merbench": merbench,
    "merbench meld": lambda: merbench("meld"),
    "merbench mosi": lambda: merbench("mosi", frames=True),
    "emobox": emobox,
    "emobox lines": lambda: emobox(lines=True),
    "emobox meld": lambda: emobox(meld=True),
    "emotion2vec": emotion2vec,
    "meld csv": meld_csv,
    "misa": lambda: {f"{part}.pkl": pickle.dumps(public.misa(f"v{part}"))
                     for part in ("train", "dev", "test")},
}  # fmt: skip
"""Builders of the folders that are complete corpora."""
