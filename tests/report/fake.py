"""Invented results of a study; all numbers follow from formulas."""

import json

EMOTIONS = ("happy", "sad", "neutral", "angry", "excited", "frustrated", "surprised")
TITLES = {"ef": "cLSTM-EF", "lf": "cLSTM-LF", "mma": "cLSTM-MMA"}

# Counts of the paper's Figure 3, from its percentages of 443, 626, 384 and 170 utterances.
FIGURE_3 = {
    "clstm_speech": [[266, 163, 14, 0], [17, 585, 5, 19], [48, 318, 11, 7], [3, 101, 1, 65]],
    "clstm_mma": [[356, 23, 60, 4], [29, 475, 82, 40], [55, 106, 209, 14], [2, 52, 6, 110]],
}


def score(mean, seeds=2):
    """Values 0.5 points above and below a mean, alternately."""
    values = [mean + (0.005 if seed % 2 else -0.005) for seed in range(seeds)]
    return {"mean": mean, "std": 0.005, "per_seed": values}


def head(accuracy, confusion, seeds):
    """Scores of one system or tower."""
    part = {
        "accuracy": score(accuracy, seeds),
        "unweighted_recall": score(accuracy - 0.02, seeds),
        "weighted_f1": score(accuracy - 0.01, seeds),
        "majority_accuracy": 0.385,
        "confusion": confusion,
        "macro_f1": score(accuracy - 0.03, seeds),
        "per_class": [
            {"precision": score(0.5 + 0.01 * c, seeds), "recall": score(0.6, seeds),
             "f1": score(0.55, seeds), "support": sum(row)}
            for c, row in enumerate(confusion)
        ],
        "calibration": {"before": 0.123, "after": 0.045, "temperature": 1.25},
    }  # fmt: skip
    valid = part | {"accuracy": score(accuracy + 0.03, seeds), "loss": score(1.2 - accuracy, seeds)}
    return {
        "validation": valid,
        "test": part,
        "test_oracle": {"accuracy": score(accuracy + 0.012, seeds)},
        "best_epoch": [9 + 2 * seed for seed in range(seeds)],
        "ensemble": {"test": {"accuracy": score(accuracy + 0.01, 1)}},
    }


def calibration():
    """Fifteen bins: overconfident before, less so after."""
    before = [[10.0 * k, 10.0 * k * (k + 0.5) / 15, 10.0 * k * (k + 0.5) / 18] for k in range(15)]
    after = [[n, confidence * 0.9, right] for n, confidence, right in before]
    return {
        "temperature": 1.25,
        **{part: {"before": before, "after": after} for part in ("validation", "test")},
    }


def groups(accuracy, seeds):
    """Two genders with a gap, and speakers of a conversation each."""

    def group(mean, conversations):
        scores = dict.fromkeys(("accuracy", "unweighted_recall"), score(mean, seeds))
        return scores | {"utterances": 40, "conversations": conversations}

    gap = {"first": "f", "second": "m", "difference": 0.06, "interval": [-0.01, 0.13]}
    genders = {"f": group(accuracy + 0.02, 4), "m": group(accuracy - 0.04, 5)}
    speakers = {f"s{i:02d}": group(accuracy, 1) for i in range(14)}
    return {
        "gender": {"groups": genders, "gap": gap, "left_out": []},
        "speaker": {"groups": speakers, "gap": None, "left_out": list(speakers)},
    }


def curve(floor, epochs=24):
    train = [floor + 0.9 * 0.85**epoch for epoch in range(epochs)]
    valid = [loss + 0.1 + 0.0008 * epoch**2 for epoch, loss in enumerate(train)]
    return {"train_loss": train, "valid_loss": valid, "valid_accuracy": [1 - x / 3 for x in valid]}


def attention(modalities, classes, utterances=41):
    size = len(modalities)

    def weights(shift):
        raw = [[1 + (2 * a + b + shift) % 5 for b in range(size)] for a in range(size)]
        return [[weight / sum(row) for weight in row] for row in raw]

    labels = [classes[(u // 6) % len(classes)] for u in range(utterances)]
    answers = [classes[(u // 6 + (u % 7 == 0)) % len(classes)] for u in range(utterances)]
    return {
        "modalities": list(modalities),
        "mean": weights(0),
        "by_class": {name: weights(index + 1) for index, name in enumerate(classes)},
        "conversation": {
            "id": "Ses05M_impro03",
            "labels": labels,
            "answers": answers,
            "weights": [weights(u // 6) for u in range(utterances)],
        },
    }


def make(
    classes=EMOTIONS[:4],
    modalities=("speech", "visual", "text"),
    seeds=2,
    ablations=2,
    synthetic=False,
    iemocap=False,
):
    """Results of the paper's systems and `ablations` variants of MMAN."""
    classes, count = list(classes), len(classes)
    confusion = [[60 if a == b else 5 * (a + b) for b in range(count)] for a in range(count)]
    towers = {**{f"clstm_{m}": [m] for m in modalities}, "clstm_ef": ["ef"]}
    towers |= {"clstm_lf": [*modalities], "clstm_mma": ["mma"], "mman": [*modalities, "mma"]}

    def system(index, name):
        kind = name.removeprefix("clstm_")
        title = "MMAN" if name == "mman" else TITLES.get(kind, f"cLSTM-{kind.capitalize()}")
        accuracy = 0.5 + 0.02 * index
        inner = {t: head(accuracy - 0.04, confusion, seeds) for t in towers.get(name, ["mma"])}
        curves = {t: curve(0.3 + 0.02 * i) for i, t in enumerate(inner)}
        if len(inner) > 1:
            curves["fusion"] = curve(0.25, 60)
        looks = name in ("clstm_mma", "mman")
        return {
            "title": title,
            "group": "paper" if name in towers else "ablation",
            "baseline": None if name in towers else "mman",
            "about": "" if name in towers else f"MMAN, its part {name[-1]} left out or changed",
            "parameters": {"total": 1_000_000 + 4321 * index, "trainable": 68},
            **head(accuracy, FIGURE_3.get(name, confusion) if count == 4 else confusion, seeds),
            "interval": [accuracy - 0.021, accuracy + 0.021],
            "towers": inner,
            "seconds": 3.25 + 40 * index,
            "right": ["0" * 12] * seeds,
            "curves": curves,
            "calibration": calibration(),
            "groups": groups(accuracy, seeds),
            "attention": attention(modalities, classes) if looks else None,
        }  # fmt: skip

    names = [*towers, *(f"ablation_{index}" for index in range(ablations))]
    systems = {name: system(index, name) for index, name in enumerate(names)}
    for index, name in enumerate(names[len(towers) :]):
        systems[name]["title"] = f"MMAN, variant {index}"

    def pair(first, second, difference):
        interval = [difference - 0.01, difference + 0.01]
        return {
            "first": first, "second": second, "difference": difference, "interval": interval,
            "p_bootstrap": 0.0004, "p_mcnemar": 0.0312, "only_first": 90, "only_second": 55,
        }  # fmt: skip

    compared = [pair("mman", "clstm_lf", 0.0216), pair("clstm_mma", "clstm_lf", -0.0012)]
    # In both orders.
    compared += [pair("ablation_0", "mman", -0.034)] if ablations > 0 else []
    compared += [pair("mman", "ablation_1", 0.005)] if ablations > 1 else []
    verdicts = ("yes", "undecided", "no")
    claims = [
        {
            "claim": f"Attention helps, told in other words {index}", "first": "mman",
            "second": "clstm_lf", "verdict": verdicts[index % 3], "difference": 0.0216,
            "interval": [-0.0004, 0.0436], "p": 0.054, "note": "All seeds, all utterances.",
        }
        for index in range(3)
    ]  # fmt: skip
    paper = {"happy": (1246, 443), "sad": (2307, 626), "neutral": (1324, 384), "angry": (933, 170)}
    sizes = [paper.get(name, (800, 150)) if iemocap else (800, 150) for name in classes]
    parts = {}
    for part in ("train", "valid", "test"):
        of = {"train": [n - 100 for n, _ in sizes], "valid": [100] * count}
        numbers = of.get(part, [n for _, n in sizes])
        parts[part] = {
            "conversations": {"train": 96, "valid": 24, "test": 31}[part],
            "utterances": sum(numbers) + (0 if iemocap else 7),
            "classes": dict(zip(classes, numbers, strict=True)),
        }
    task = {"accuracy": score(0.921, seeds), "f1": score(0.703, seeds), "no_accuracy": 0.8473,
            "utterances": 943}  # fmt: skip
    return {
        "command": "python -m experiments.paper --workdir=runs/paper --seeds=2",
        "versions": {"python": "3.11.7", "jax": "0.10.2"},
        "revision": "4b3ff4d",
        "config": {"seeds": seeds, "train": {"towers": {"learning_rate": 3e-4}}},
        "seconds": 12345.6,
        "corpus": {
            "path": "the built-in synthetic corpus" if synthetic else "data/corpus.npz",
            "conversations": 151,
            "utterances": sum(part["utterances"] for part in parts.values()),
            "dimensions": {name: 100 * (index + 1) for index, name in enumerate(modalities)},
            "split": "train and test as the corpus gives them; validation: session 4",
            "sessions": 5 if iemocap else None,
            "speakers": 10 if iemocap else None,
            "iemocap": iemocap,
            "parts": parts,
        },
        "protocol": "mman4" if iemocap else "auto",
        "classes": classes,
        "seeds": list(range(seeds)),
        "majority_accuracy": 0.385,
        "utterances": {"conversation": ["a"] * 12, "position": list(range(12))},
        "systems": systems,
        "comparisons": compared,
        "positions": {
            "bins": [
                {"from": 1, "to": 1, "utterances": 31}, {"from": 2, "to": 5, "utterances": 124},
                {"from": 6, "to": 20, "utterances": 460},
                {"from": 21, "to": None, "utterances": 1008},
            ],
            "accuracy": {
                name: [0.4 + 0.02 * index + 0.03 * b for b in range(4)]
                for index, name in enumerate(systems)
            },
        },
        "claims": claims,
        "tasks": {
            name: dict.fromkeys(EMOTIONS[:4], task) for name in ("clstm_mma", "mman")
        } if iemocap else None,
        "synthetic": {
            "ceiling": 0.891, "ceiling_late_fusion": 0.765,
            "evidence": {name: {"single": 0.81, "joint": 0.5 + 0.05 * index}
                         for index, name in enumerate(towers)},
            "evidence_beside": {"chance": {"single": 0.48}, "labels": {"joint": 0.7}},
            "kinds": {"single": "one modality tells alone", "joint": "only two together tell"},
        } if synthetic else None,
        "missing": {
            name: {modality: {"accuracy": score(0.45, seeds)} for modality in modalities}
            for name in ("clstm_mma", "mman")
        },
    }  # fmt: skip


def plain(results):
    """The same results as read from a file."""
    return json.loads(json.dumps(results, allow_nan=False))


_LEAST = {"missing": None, "revision": None, "comparisons": [], "claims": []}
_ESCAPES = (
    "<b>&|",
    "`code` *bold* _under_ [a](b) $x$ ~~c~~ # d",
    "x" * 200,
    "\"'\\|</td><script>x()</script>",
)
CASES = {
    "iemocap": make(iemocap=True),
    "synthetic": make(EMOTIONS, ("a", "b", "c", "d"), ablations=12, synthetic=True),
    "least": make(("negative", "positive"), ("speech", "text"), seeds=1, ablations=0) | _LEAST,
    "escapes": make(_ESCAPES, ("<i>$", "b|_"), ablations=1),
}
