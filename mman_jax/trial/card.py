"""Folders of trained models for the Hugging Face hub, with their model card."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mman_jax.errors import InputError, require
from mman_jax.features.extraction import Extraction
from mman_jax.files.whole import read_json
from mman_jax.inference import exported
from mman_jax.inference.answerer import USE, class_names
from mman_jax.inference.model import Model
from mman_jax.tasks import from_results
from mman_jax.trial import clips, seal
from mman_jax.trial.folder import to_json
from mman_jax.trial.stored import hub_places, read_results

_TASK = "emotion-recognition-in-conversations"
_NAMES = ("test", "validation")

_INTENDED = (
    "Research on emotion in conversations, and the study of recordings with the consent of the "
    "people in them. Not for decisions about a person: scores are averages over many utterances, "
    "and say little about a single one."
)


@dataclasses.dataclass(frozen=True)
class Licences:
    """Licences and languages of a model, as stated by the user.

    Attributes:
        model: identifier of the licence of the weights, such as `cc-by-nc-4.0`, or `other`.
        corpus: licence or terms of the training corpus.
        features: licence of the features; if empty, that of the stored extraction.
        languages: codes of the languages of the corpus, such as `en`.
    """

    model: str
    corpus: str
    features: str = ""
    languages: tuple[str, ...] = ()


def hub_files(
    models: Sequence[Model], workdir: pathlib.Path, licences: Licences
) -> dict[str, bytes]:
    """Returns the files of a run's models for the hub, by their path in the folder.

    `results.json` has no groups and no folders of this machine.

    Raises:
        InputError: a licence or an optional package is missing.
    """
    results, path = read_results(workdir / "results.json"), clips.place(workdir)
    extraction = Extraction.load(path) if path.is_file() else None
    files = {
        "README.md": model_card(models, results, extraction, licences, _rule(workdir)).encode()
    }
    for place, model in zip(hub_places(results).values(), models, strict=True):
        about = {k: v for k, v in model.card.items() if k not in ("corpus", "test_corpus")}
        stripped = dataclasses.replace(model, card=about)
        for name, content in stripped.pretrained_files().items():
            files[str(pathlib.PurePath(place, name))] = content
    files["results.json"] = to_json(_public(results))
    if extraction is not None:
        files[str(path.relative_to(workdir))] = path.read_bytes()
    return files


def model_card(
    models: Sequence[Model],
    results: Mapping[str, Any],
    extraction: Extraction | None,
    licences: Licences,
    rule: str = "",
) -> str:
    """Returns README.md: metadata that the hub reads, and the model card.

    Args:
        rule: the rule that selected the epochs; empty: unknown.
    """
    place = "model card"
    hub = require("huggingface_hub", "hub", place)
    if not licences.model:
        raise InputError("license", "not stated", "an identifier of the hub, or other")
    if not licences.corpus:
        raise InputError("corpus_license", "not stated", "its name, or the terms")
    if not (licences.features or extraction):
        expected = "their terms of use, because no extraction is stored"
        raise InputError("features_license", "not stated", expected)
    corpus = exported.corpus_facts(results.get("corpus"))
    name = f"{results['system']} on {corpus.get('path')}"
    data = hub.ModelCardData(
        language=list(licences.languages) or None,
        license=licences.model,
        library_name="mman_jax",
        tags=["emotion-recognition", "conversations", *models[0].dims],
        model_name=name,
        eval_results=list(_evaluations(hub, results, corpus)),
    )
    model = models[0]
    features = [licences.features] if licences.features else []
    if extraction is not None:
        features += [text for m, text in extraction.licences.items() if m in model.dims]
    limits = exported.limits(corpus, False, model.build().causal, model.in_context)
    limits = limits[1:] if extraction else limits  # the first is that clips cannot be read
    spoken = ", ".join(licences.languages) or "not stated"
    digest = results.get("seal", {}).get("digest")
    sections = {
        f"# {name}": [USE],
        "## Intended use": [_INTENDED],
        "## Data": [
            f"- Corpus: {corpus.get('path')}, {corpus.get('conversations', 'unknown')} "
            f"conversations, {corpus.get('utterances', 'unknown')} utterances",
            f"- Split: {corpus.get('split', 'unknown')}",
            f"- Languages: {spoken}",
            f"- Features: {', '.join(f'{m} ({size})' for m, size in model.dims.items())}",
            f"- {model.task.kind.capitalize()}: {', '.join(class_names(models))}",
        ],
        "## Scores": list(_table(results)),
        "## Selection": [
            f"Epochs were selected on the validation part, by the rule `{rule or 'unknown'}`; "
            "nothing was selected on the test part.",
            *([f"Seal of the results: `{digest}`."] if digest else []),
        ],
        "## Limits": [f"- {limit}" for limit in limits],
        "## Licences": [
            f"- Weights: {licences.model}",
            f"- Corpus: {licences.corpus}",
            *(f"- Features: {text}" for text in features),
        ],
        "## Use": [
            "```python",
            "import mman_jax",
            "",
            'model = mman_jax.Model.from_pretrained("USER/NAME", download=True)',
            'probabilities = model.probabilities(mman_jax.read_corpus("NEW.npz"))',
            "```",
        ],
    }
    body = "\n\n".join(f"{head}\n\n" + "\n".join(lines) for head, lines in sections.items())
    return f"---\n{data.to_yaml()}\n---\n\n{body}\n"


def licence(readme: pathlib.Path) -> str:
    """Returns the licence in the metadata of a model card.

    Raises:
        InputError: there is no card, or it states no licence.
    """
    hub = require("huggingface_hub", "hub", str(readme))
    try:
        stated = (hub.metadata_load(readme) or {}).get("license")
    except Exception as error:  # of files and YAML
        raise InputError(readme, f"no model card ({error!s:.100})", "one of mman export") from error
    if not stated:
        raise InputError(readme, "a card without a licence", "`license:` in its metadata")
    return str(stated)


def _evaluations(hub: Any, results: Mapping[str, Any], corpus: Mapping[str, Any]) -> Iterator[Any]:
    """Yields the test scores as the hub's metadata."""
    for name, scores in _tasks(results).items():
        task = from_results(scores)
        for key in task.score_names(scores["test"]):
            score = scores["test"][key]
            arguments = {"std": score["std"], "seeds": len(score["per_seed"])}
            if "interval" in score:
                arguments["interval_95"] = list(score["interval"])
            yield hub.EvalResult(
                task_type=_TASK,
                dataset_type="other",
                dataset_name=str(corpus.get("path")),
                dataset_config=name,
                dataset_split="test",
                metric_type=key,
                metric_name=task.describe_score(key).label,
                metric_value=score["mean"],
                metric_args=arguments,
            )


def _table(results: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of a table of scores, with the intervals of the test part."""
    yield "| task | score | validation | test |"
    yield "|---|---|---|---|"
    for name, scores in _tasks(results).items():
        task = from_results(scores)
        for key in task.score_names(scores["test"]):
            score = task.describe_score(key)
            valid, test = (score.write_spread(scores[p].get(key), True) for p in _NAMES[::-1])
            yield f"| {name} | {score.label}{score.unit} | {valid} | {test} |"
        constant = (task.headline.write(scores[part].get(task.constant)) for part in _NAMES[::-1])
        yield f"| {name} | {task.constant_name} | {' | '.join(constant)} |"
    yield ""
    yield "Mean ± deviation of single seeds; [95 % interval]. The model is the mean of all seeds."


def _tasks(results: Mapping[str, Any]) -> Mapping[str, Any]:
    return results["tasks"] if "tasks" in results else {results["protocol"]: results}


def _rule(workdir: pathlib.Path) -> str:
    path = workdir / "config.json"
    return seal.rule(read_json(path)) if path.is_file() else ""


def _public(results: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the results without groups, which can name people, and without paths."""
    public = {k: v for k, v in results.items() if k not in ("groups", "command")}
    public["corpus"] = exported.corpus_facts(results.get("corpus"))
    if "tasks" in results:
        tasks = results["tasks"].items()
        public["tasks"] = {n: {k: v for k, v in t.items() if k != "groups"} for n, t in tasks}
    return public
