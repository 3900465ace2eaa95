"""Who is trained on what, and the words that stand beside every number.

Two divisions. Closed: one recipe for all losses on a dataset. Open: each loss tuned by a search of
the same budget on validation identities (`suites.quality.search`), then trained as in the closed
division with what was found. Both from the same seeds. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from marginbench import catalogue

from ..jobs import Job, Term
from .recipes import recipe
from .search import Search, standing_variant

DIVISIONS = ("closed", "open")
# No seed that is reported: what was tuned to a start must not be tested from it.
SEARCH_SEED = 1_000_003


def closed(
    dataset: str,
    seeds: Iterable[int],
    device: str = "cpu",
    losses: Collection[str] | None = None,
    contender: str = "eager",
) -> list[Job]:
    """Every loss of the catalogue (or those in ``losses``) by its declared training, from each
    seed. Raises InputError for a dataset without a recipe, UnknownName for an unknown loss."""
    settings = recipe(dataset).settings
    return [
        Job(
            "closed", f"{loss}/{standing_variant(loss)}", (Term(loss),), dataset, seed, settings,
            contender, device,
        )
        for loss in _known(losses)
        for seed in seeds
    ]  # fmt: skip


def searches(
    dataset: str,
    seeds: Iterable[int],
    trials: int,
    device: str = "cpu",
    losses: Collection[str] | None = None,
    contender: str = "eager",
) -> list[Search]:
    """The open division of a dataset: a search for each loss, all of ``trials`` trials."""
    seeds = list(seeds)
    return [
        Search(
            dataset, loss, trials, seeds, seed=SEARCH_SEED, device=device, contender=contender
        )
        for loss in _known(losses)
    ]  # fmt: skip


def _known(losses: Collection[str] | None) -> list[str]:
    if losses is None:
        return catalogue.names()
    return [catalogue.get(name).name for name in losses]


def protocol_text(
    job: Job,
    facts: Mapping[str, Any],
    *,
    tested: Mapping[str, int],
    pairs: int,
    folds: int,
    pairs_given: bool = False,
    steps: int | None = None,
) -> dict[str, str]:
    """How a number came about, in sentences by subject.

    ``facts`` are the dataset's (``preprocessing``, ``split`` and what was checked are
    quoted); ``tested`` is how many images of ``test`` and ``seen`` were looked at; ``pairs`` and
    ``folds`` count the verification pairs of the first of them.
    """
    settings = job.settings
    drops = ", ".join(f"{share:.0%}" for share in settings.decay_at)
    made = (
        "given with the data" if pairs_given
        else "drawn once from a separate seed, the same for every network, as many of one "
        "identity as of two; the folds share identities"
    )  # fmt: skip
    return {
        "division": _division(job),
        "identities": _identities(tested),
        "disjointness": _disjointness(facts, tested),
        "split": str(facts.get("split", "as the dataset declares it")),
        "preprocessing": str(facts.get("preprocessing", "none: pixels in [0, 1]")),
        "flip": "the sum of an image's and its mirror's embedding is tested"
        if settings.flip
        else "none: an image is tested as it is",
        "embedding": f"{settings.backbone}, {settings.dim} dimensions, the network after the last "
        "step: no epoch is selected",
        "retrieval": "each image is a query against all others of its split, by cosine; an image "
        "without another of its identity is no query",
        "verification": f"cosine, {pairs:,} pairs {made}",
        "threshold": f"of each of the {folds} folds, the one most accurate on the other folds; "
        "accuracy is the mean over the folds. Error rates (EER, TAR at FAR) take all pairs at once",
        "batch": f"{settings.batch} images a step, {_sampler(job)}",
        "budget": f"{settings.epochs} epochs"
        + (f" ({steps:,} steps)" if steps is not None else "")
        + f", {settings.optimiser}, learning rate {settings.learning_rate:g}"
        + (f" times {settings.decay_factor:g} after {drops} of the steps" if drops else ""),
    }


def _disjointness(facts: Mapping[str, Any], tested: Mapping[str, int]) -> str:
    text = "checked when the data is loaded: no image is in two splits, and "
    if "test" not in tested:
        return text + "none is tested unseen"
    text += "no identity of test is in train"
    if "identities are distinguished" in facts:
        text += f" ({facts['identities are distinguished']})"
    if "also checked" in facts:
        text += f"; {facts['also checked']}"
    return text


def _division(job: Job) -> str:
    return {
        "closed": "closed: one recipe for all losses, nothing tuned",
        "open": "open: learning rate and the loss's options tuned on validation identities, with "
        "the same number of trials for each loss",
        "search": "a trial of the open division's search: tested on validation identities, a part "
        "of the training identities that this network was not trained on; never on test",
    }.get(job.study, f"of the study {job.study}")


def _identities(tested: Mapping[str, int]) -> str:
    parts = []
    if "test" in tested:
        parts.append(f"open-set: {tested['test']:,} test images of identities never trained on")
    if "seen" in tested:
        parts.append(f"seen: {tested['seen']:,} other images of identities trained on")
    return "; ".join(parts)


def _sampler(job: Job) -> str:
    settings = job.settings
    p_by_k = f"P x K = {settings.identities_per_batch} identities x {settings.images_per_identity}"
    return {
        "auto": f"{p_by_k} where a loss takes a labelled batch, else shuffled",
        "balanced": p_by_k,
        "shuffled": "shuffled",
    }.get(settings.sampler, settings.sampler)
