"""The targets: what the kernels are to reach, what was measured, and what the hardware allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.instruments.gpus import MAIN, Card, cards
from marginbench.shared import architectures
from suites.targets import TARGETS, Target

from .. import units
from ..document import Block, Cell, Details, Section, Text, Tone, table
from ..predicted import ITEMSIZE, bound
from ..targets import Outcome, declared, matrix_bytes, outcome
from .context import Context, mark, slug
from .place import Place

TITLE = "Targets"
_TONES: dict[str, Tone] = {"met": "good", "missed": "bad"}
_SIGNS = {
    "met": "✓ met",
    "missed": "✗ missed",
    "unclear": ("unclear: the interval contains the bound"),
}


def section(context: Context) -> Section:
    found = [(target, outcome(target, context.records)) for target in TARGETS]
    measured = [pair for pair in found if pair[1].state != "not measured"]
    blocks: list[Block] = [Text(_summary([one for _, one in found])), Text(_predicted(), "note")]
    for group in dict.fromkeys(target.group for target, _ in measured):
        pairs = [pair for pair in measured if pair[0].group == group]
        blocks.append(Text(group, kind="heading", anchor=f"targets-{slug(group)}"))
        # Bounds are predicted of GPUs alone.
        gpus = cards() if any(target.device == "cuda" for target, _ in pairs) else ()
        columns = ("case", "contender", "target", "measured", "verdict", *_headings(gpus))
        rows = [(*_aim(t), _measured(t, one), _verdict(one), *_predictions(t, gpus))
                for t, one in pairs]  # fmt: skip
        blocks.append(table(columns, rows))
    absent = [pair for pair in found if pair[1].state == "not measured"]
    return Section("targets", TITLE, blocks + ([_absent(absent)] if absent else []))


def _absent(pairs: Sequence[tuple[Target, Outcome]]) -> Details:
    """What was not measured, by its reason, with what is predicted of it."""
    kinds: dict[str, list[tuple[Target, str]]] = {}
    for target, one in pairs:
        kinds.setdefault(one.reason.partition(": ")[0], []).append((target, one.reason))
    blocks: list[Block] = []
    said = []
    for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        reasons = {reason for _, reason in found}
        # Reasons of a kind that differ, such as the command of each case, stand in the rows.
        differ = len(reasons) > 1
        said.append(kind if differ else found[0][1])
        rows = [(target.group, *_aim(target), *([reason.partition(": ")[2]] if differ else ()),
                 *_predictions(target, cards())) for target, reason in found]  # fmt: skip
        columns = ("group", "case", "contender", "target", *(["why"] if differ else ()))
        blocks.append(Text(f"{said[-1]} ({len(rows)})", "label"))
        blocks.append(table((*columns, *_headings(cards())), rows))
    why = f"{said[0]}{'; and other reasons' if said[1:] else ''}"
    return Details(f"{units.plural(len(pairs), 'target')} not measured: {why}", blocks)


def _summary(found: list[Outcome]) -> str:
    counts = dict.fromkeys(("met", "missed", "unclear", "not measured"), 0)
    for one in found:
        counts[one.state] += 1
    listed = ", ".join(f"{number} {state}" for state, number in counts.items())
    return (
        f"Of {units.plural(len(found), 'target')}: {listed}. A time target is met if the whole "
        "95% interval lies beyond its bound, and missed if all of it falls short."
    )


def _predicted() -> str:
    sheets = "; ".join(
        f"{gpu.name}: {gpu.bytes_per_s / 1e12:.3g} TB/s, {gpu.flops_per_s['bfloat16'] / 1e12:.4g} "
        f"TFLOP/s dense in 16 bits, {gpu.flops_per_s['float32'] / 1e12:.3g} in float32 "
        f"({gpu.source})"
        for gpu in cards()
    )
    return (
        "Predicted from data-sheet rates, not measured. The least time of forward and backward is "
        "their bytes over the bandwidth or their operations over the rate, whichever is longer; "
        "the loss's cost model has the least bytes and operations. A kernel that keeps no logits "
        "computes four products, not three. Predicted memory is what forward and backward "
        f"allocate besides the gradients on {architectures.processors(MAIN)} processors. {sheets}."
    )


def _aim(target: Target) -> tuple[Cell | str, ...]:
    case = f"{target.loss}/{target.variant} {target.shape} {target.dtype} {target.device}"
    return case, mark(target.contender), target.text.removeprefix(f"{target.contender}: ")


def _headings(gpus: Sequence[Card]) -> list[str]:
    return [f"{gpu.name}, predicted" for gpu in gpus]


def _predictions(target: Target, gpus: Sequence[Card]) -> list[Cell]:
    return [Cell(_prediction(target, gpu), tone="quiet") for gpu in gpus]


def _verdict(one: Outcome) -> Cell:
    return Cell(_SIGNS[one.state], tone=_TONES.get(one.state, ""))


def _measured(target: Target, one: Outcome) -> str:
    if one.figure is None:
        return units.NOTHING
    if target.kind == "speed":
        # In the target's own terms: "at most 1.1 times the time" is met by 0.6 times.
        found, of = (
            (one.figure.inverse, "the time") if target.bound < 1 else (one.figure, "as fast")
        )
        return f"{units.digits3(found.estimate)}× {of} {units.bounds(found)}"
    if target.kind == "memory":
        return f"{one.figure.estimate:.3%} of {_matrix(target)}"
    return f"{one.figure.estimate:.1%}{_range(one)}"


def _range(one: Outcome) -> str:
    assert one.figure is not None
    if one.figure.low is None or one.figure.high is None:
        return ""
    return f" [{one.figure.low:.1%}, {one.figure.high:.1%}]"


def _matrix(target: Target) -> str:
    return "B × C" if target.matrix == "BxC" else "B × B in float32"


def _prediction(target: Target, gpu: Card) -> str:
    variant = declared(target)
    if variant is None or target.device != "cuda":
        return units.NOTHING
    if target.kind == "memory":
        share = target.recorded_bytes / matrix_bytes(target)
        return f"at most {units.size(target.recorded_bytes)}: {share:.2%} of {_matrix(target)}"
    cost = variant.cost(target.shape, ITEMSIZE[target.dtype])
    return "; ".join(_times(target, [
        bound(cost, target.dtype, gpu, recomputing=again).both_s
        for again in ((False, True) if target.kind == "products" else (False,))
    ]))  # fmt: skip


def _times(target: Target, seconds: list[float]) -> Iterator[str]:
    for products, time in zip((3, 4), seconds, strict=False):
        several = f" ({products} products)" if target.kind == "products" else ""
        yield f"at least {units.time(time)}{several}"


PLACES = (Place(40, section, "machine"),)
