"""The records as pages: each case with every result, all its raw rounds, and its command.

Cases of a loss stand on numbered pages, each well under the size that a page may have. Written
without a template: there are tens of thousands of results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from benchmarks.records.loading import Result
from suites.schema import STATUS_WORDS

from .. import units
from ..agreement import ERRORS
from ..pages import plain_text, relative
from ..reading import Measured
from ..sections.context import Context, slug
from ..sections.flat import flat
from ..sections.provenance import commands
from .sources import Folder

PAGE_BYTES = 1_000_000
# An entry of a protocol of more characters is said once a case: results of one tile share it.
_LONG = 160
# The id of each entry that a case says once.
Once = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class RecordPage:
    """``path`` from the site's root; ``anchors``: by case id where on the site its record is."""

    path: str
    title: str
    body: Markup
    anchors: dict[str, str]


def build(folder: Folder, context: Context) -> Iterator[RecordPage]:
    for loss, cases in context.records.cases.by("loss").items():
        named = [(context.anchors[measured.case.id], measured) for measured in cases]
        yield from _pages(f"records/{folder.name}/{slug(loss)}", loss, named, folder)


def _pages(
    stem: str, loss: str, cases: list[tuple[str, Measured]], folder: Folder
) -> Iterator[RecordPage]:
    parts: list[list[tuple[str, str, str]]] = [[]]
    size = 0
    for anchor, measured in cases:
        text = _case(anchor, measured)
        length = len(text.encode())
        if parts[-1] and size + length > PAGE_BYTES:
            parts.append([])
            size = 0
        parts[-1].append((anchor, measured.case.id, text))
        size += length
    for number, part in enumerate(parts, start=1):
        path = f"{stem}-{number}.html"
        links = " ".join(
            f"<b>{n}</b>" if n == number else
            f'<a href="{stem.rpartition("/")[2]}-{n}.html">{n}</a>'
            for n in range(1, len(parts) + 1)
        )  # fmt: skip
        whole = relative(folder.address(folder.records.name), path)
        intro = (
            "<p>Every result of these cases as it was recorded: status, value and all raw rounds "
            "in the order taken. Round k of two contenders of a case ran back to back. The file "
            f'itself, in a clone: <a href="{_text(whole)}">{_text(folder.typed)}</a>.</p>'
        )
        if len(parts) > 1:
            intro += f"<p>Pages: {links}</p>"
        rows = "".join(
            f'<li><a href="#{anchor}">{_text(case)}</a></li>' for anchor, case, _ in part
        )
        listed = (
            f"<details><summary>Cases on this page ({len(part)})</summary><ul>{rows}</ul></details>"
        )
        body = intro + listed + "".join(text for _, _, text in part)
        anchors = {case: f"{path}#{anchor}" for anchor, case, _ in part}
        title = loss if len(parts) == 1 else f"{loss}, page {number} of {len(parts)}"
        yield RecordPage(path, title, Markup(body), anchors)


def _text(value: object) -> str:
    return str(escape(plain_text(str(value))))


def _case(anchor: str, measured: Measured) -> str:
    first = measured.results[0].provenance
    state = "with uncommitted changes" if first.dirty else "clean"
    out = [
        f'<section id="{anchor}"><h2>{_text(measured.case.id)}</h2>',
        f"<p>{_text(measured.size)}, {_text(measured.case.dtype)}, definition version "
        f"{measured.case.variant_version}. {_text(first.measured_at)}, commit "
        f"<code>{_text(first.commit)}</code> ({state}), {_text(first.machine)}.</p>",
        "<p>Measure again with:</p>",
    ]
    for command, names in commands(measured.results):
        text = f"# {_text(', '.join(names))}\n{_text(command)}"
        out.append(f'<pre tabindex="0"><code>{text}</code></pre>')
    out.append(
        '<div class="table" tabindex="0" role="region" aria-label="results"><table class="n5">'
    )
    out.append(
        '<thead><tr><th scope="col" data-filter="contender">contender</th>'
        '<th scope="col" data-filter="metric">metric</th><th scope="col">of</th>'
        '<th scope="col" data-filter="status">status</th><th scope="col">value</th>'
        '<th scope="col">rounds, protocol</th></tr></thead><tbody>'
    )
    once = _once(anchor, measured)
    out += _rows(measured, once)
    out.append("</tbody></table></div>")
    if once:
        said = "".join(
            f'<p id="{place}"><code>{_text(f"{name}: {value}")}</code></p>'
            for (name, value), place in once.items()
        )
        out.append(f"<details><summary>What several protocols say</summary>{said}</details>")
    out.append("</section>\n")
    return "".join(out)


def _once(anchor: str, measured: Measured) -> Once:
    """Long entries that several of a case's protocols share."""
    count = Counter(entry for one in measured.results for entry in flat(one.protocol))
    shared = [entry for entry, times in count.items() if times > 1 and len(entry[1]) > _LONG]
    return {entry: f"{anchor}-said-{number}" for number, entry in enumerate(shared, start=1)}


def _rows(measured: Measured, once: Once) -> Iterator[str]:
    """Errors of one contender together, for there are many and they have no rounds; and what it
    did not run for one reason."""

    def protocol(result: Result) -> str:
        return _protocol(result, once)

    errors = measured.results.where(metric=ERRORS, status="ok")
    not_run = measured.results.where(status="not_run")
    for one in measured.results.but(status="not_run"):
        if one.metric not in ERRORS or one.status != "ok":
            yield _row(one, one.metric, protocol(one))
    for (contender, metric, said), found in errors.by("contender", "metric", protocol).items():
        listed = "; ".join(f"{_of(one) or 'value'} {one.value!r}" for one in found)
        worst = max(one.value or 0.0 for one in found)
        yield (
            f"<tr><td>{_text(contender)}</td><td>{_text(metric)}</td>"
            f'<td class="long">{_text(listed)}</td><td>{STATUS_WORDS["ok"]}</td>'
            f'<td data-sort="{worst!r}">{units.digits3(worst)} at most</td>'
            f"<td>{said}</td></tr>"
        )
    for (*_, said), found in not_run.by("contender", _of, "reason", protocol).items():
        yield _row(found[0], ", ".join(found.each("metric")), said)


def _row(result: Result, metrics: str, protocol: str) -> str:
    value = units.figure(result.metric, result.value)
    sort = "" if result.value is None else f' data-sort="{result.value!r}"'
    status = STATUS_WORDS[result.status]
    if result.reason:
        status += f": {result.reason}"
    tone = {"worse": ' class="bad"', "not_run": ' class="quiet long"'}.get(result.status, "")
    return (
        f"<tr><td>{_text(result.contender)}</td><td>{_text(metrics)}</td>"
        f"<td>{_text(_of(result))}</td><td{tone}>{_text(status)}</td>"
        f"<td{sort}>{_text(value)}</td>"
        f'<td class="rounds">{_rounds(result)}{protocol}</td></tr>'
    )


def _rounds(result: Result) -> str:
    if not result.rounds:
        return ""
    raw = " ".join(map(repr, result.rounds))
    return (
        f"<details><summary>{units.plural(len(result.rounds), 'round')}</summary>"
        f"<code>{raw}</code></details>"
    )


def _of(result: Result) -> str:
    return " ".join(value for _, value in sorted(result.of.items()))


def _protocol(result: Result, once: Once) -> str:
    if not result.protocol:
        return ""
    said = "; ".join(
        f'{_text(name)}: <a href="#{once[name, value]}">below</a>' if (name, value) in once else
        _text(f"{name}: {value}") for name, value in flat(result.protocol)
    )  # fmt: skip
    return f"<details><summary>protocol</summary>{said}</details>"
