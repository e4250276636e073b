"""The model card of a generator: what it makes, how good it is, and what nobody knows of it.

Its headings are those of Mitchell et al. 2019, "Model Cards for Model Reporting", section 4.
"""

from collections.abc import Mapping
from typing import Any

from components.evaluator.markdown import code, escape, estimate, number, sentence, table
from models.dataset import DatasetInfo

# Of each class and group: the figure and what it says.
_FIGURES = {
    "kid_relative": "distance to the real images of the class, in units of that to the nearest other class: 0 is none",
    "diversity": "how different its images are from each other: 1 is as much as real ones, 0 all alike",
    "label_agreement_ratio": "how often the judge sees the class that was asked for, over the same for real images",
    "closest_record_ratio": "distance to the nearest training image, over the same for unseen real ones: 0 is a copy",
    "copied": "part of its images that lie nearer to a training image than unseen real ones hardly ever do",
}
_WHOLE = ("fid", "kid", "inception_score", "label_agreement", "precision", "recall", "density", "coverage", "c2st")
_VERDICTS = {
    "blessed": "It was blessed: the gate let it be pushed.",
    "rejected": "It was not blessed: the gate did not let it be pushed.",
    "already_serving": "It served already when it was judged.",
}


def render(document: Mapping[str, Any], info: DatasetInfo) -> str:
    """The card, as Markdown.

    Args:
      document: what evaluation.json holds.
      info: of the data that the generator was trained on and judged with, before rebalancing.
    """
    sections = {
        "Model details": _details(document, info),
        "Intended use": _use(info),
        "Factors": _factors(document),
        "Metrics": _metrics(document),
        "Evaluation data": _evaluation_data(document, info),
        "Training data": _training_data(info),
        "Quantitative analyses": _analyses(document),
        "Ethical considerations": _ethics(document),
        "Caveats and recommendations": _caveats(document),
    }
    return "# Model card\n\n" + "\n".join(f"## {title}\n\n{text}\n" for title, text in sections.items())


def _details(document: Mapping[str, Any], info: DatasetInfo) -> str:
    height, width, channels = info.image_shape
    reasons = [f"- {sentence(reason)}" for reason in (*document["reasons"], *document["warnings"])]
    return "\n".join(
        [
            "A class-conditional generative adversarial network, exported as a TensorFlow SavedModel.",
            f"It makes images of {height} × {width} pixels with {channels} channel{'s' * (channels > 1)}, of "
            f"{len(info.classes)} classes.",
            f"Its fingerprint is {code(document['generator'])}. {_VERDICTS[document['verdict']]}",
            "",
            *reasons,
        ]
    )


def _use(info: DatasetInfo) -> str:
    names = ", ".join(escape(name) for name in info.classes)
    return (
        f"To make images of these classes, above all of the rare ones: {names}.\n\n"
        "Out of scope: images of anything else; evidence of any kind, for no image shows something that was there; and "
        "the test set of another model, which is to be real."
    )


def _factors(document: Mapping[str, Any]) -> str:
    groups = {
        name: ", ".join(escape(member) for member in group["classes"])
        for name, group in (document["groups"] or {}).items()
        if name in ("tail", "middle", "head")
    }
    lines = [f"- {name}: {members}" for name, members in groups.items()]
    return "\n".join(["Figures are given by class, and by thirds of the classes, from the rarest on.", "", *lines])


def _metrics(document: Mapping[str, Any]) -> str:
    features, judge = document["features"] or {}, document["judge"]
    lines = [f"- {name}: {meaning}" for name, meaning in _FIGURES.items()]
    network = code(features.get("name", "judge"))
    knows = number(features.get("accuracy"))
    return "\n".join(
        [
            f"Distances are taken in features of the network {network}; by nearest neighbours in them, {knows} of the "
            "held-out real images (mean over classes) are told right.",
            f"Labels are the judge's, a classifier of its own; its accuracy on the held-out real images is "
            f"{number(judge['accuracy'])}.",
            "Brackets hold intervals of 95 % confidence; a dash is what could not be known.",
            "",
            *lines,
        ]
    )


def _evaluation_data(document: Mapping[str, Any], info: DatasetInfo) -> str:
    return (
        f"{document['judge']['eval_images']} real images that training never saw, as they are: never rebalanced. "
        f"Fingerprint of the data: {code(info.fingerprint)}."
    )


def _training_data(info: DatasetInfo) -> str:
    rows = [
        [escape(name), number(info.train_unique[k]), number(info.counts["eval"][k])]
        for k, name in enumerate(info.classes)
    ]
    left_out = f"{info.duplicates} duplicates and {info.quarantined} files that could not be read were left out."
    return left_out + "\n\n" + table(("class", "different training images", "held-out images"), rows)


def _analyses(document: Mapping[str, Any]) -> str:
    intervals = document["intervals"] or {}
    whole = [[name, estimate(document.get(name), intervals.get(name))] for name in _WHOLE]
    groups = {name: group for name, group in (document["groups"] or {}).items() if name != "worst"}
    by_class = [_figures(escape(name), row) for name, row in document["per_class"].items()]
    rules = [
        [code(rule["rule"]), rule["outcome"].replace("_", " "), escape(rule["where"] or ""), sentence(rule["why"])]
        for rule in document["rules"]
    ]
    parts = [
        ("All images", table(("figure", "value"), whole)),
        ("Groups of classes", table(("group", *_FIGURES), [_figures(name, row) for name, row in groups.items()])),
        ("Classes", table(("class", *_FIGURES), by_class)),
        ("Rules of the gate", table(("rule", "outcome", "class", "why"), rules)),
    ]
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in parts)


def _figures(name: str, row: Mapping[str, Any]) -> list[str]:
    intervals = row.get("intervals") or {}
    return [name, *(estimate(row.get(figure), intervals.get(figure)) for figure in _FIGURES)]


def _ethics(document: Mapping[str, Any]) -> str:
    memorization = document["memorization"] or {}
    return (
        "A generator can give back images it was trained on. The test for data copying (Meehan et al. 2020) reads "
        f"C_T {number(memorization.get('c_t'))} (below 0 is nearer to training images than real ones are), with a "
        f"p-value of {number(memorization.get('p'))}. No figure proves that no image is a copy: look before images of "
        "people or secrets are passed on. What is one-sided in the training images is so in the generated ones."
    )


def _caveats(document: Mapping[str, Any]) -> str:
    few = [name for name, row in document["per_class"].items() if row.get("enough_data") is False]
    limits = []
    if few:
        names = ", ".join(map(escape, few))
        limits.append(f"- Too few held-out images for a sharp figure, so that small faults stay unseen: {names}.")
    dead = (document["balance"] or {}).get("dead")
    if dead:
        limits.append(f"- Classes that the judge sees in no generated image: {', '.join(map(escape, dead))}.")
    return "\n".join(
        [
            *limits,
            "- Figures compare with nothing that was judged by another network or on other data.",
            "- What the judge cannot see is in no figure; its recall of real images bounds what is known of a class.",
        ]
    )
