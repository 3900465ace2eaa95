"""Works published pages out again from their records, and says whether they are what is committed.

Everything is built anew in a folder that is thrown away and compared byte by byte; of a site's
manifest, but for its declared fields. Records without a page of their own are read whole: the site
beside them shows what they say. Nothing that is committed is touched.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.records import folders, record_files
from benchmarks.records.loading import RecordError

from .. import auto
from .. import build as run_pages
from ..gate.trust import page as trial_pages
from ..gate.trust import trials
from ..output import PAGE
from ..quality import build as quality_pages
from ..quality import reading
from ..reading import load
from . import building, sources

SHOWN = 3
# How long each takes against a run, for the time that is left.
_WEIGHTS = {"site": 40, "gate's trial": 2, "quality run": 2, "run": 2, "run of the suite auto": 1}
State = Literal["same", "differs", "not checked"]


@dataclass(frozen=True)
class Checked:
    """One published folder. ``files``: how many were compared; ``findings``: what differs, a line
    each; ``reason``: why it could not be checked."""

    kind: str
    path: Path
    state: State
    files: int = 0
    findings: tuple[str, ...] = ()
    reason: str = ""


def verify(
    paths: Sequence[Path], report: Callable[[float, float, str], None] = lambda *_: None
) -> list[Checked]:
    """Each folder, and what is published under it; ``report(share, 1, what)`` is called before
    each."""
    found = []
    every = [(path, list(_published(path))) for path in paths]
    total = sum(_WEIGHTS[kind] for _, there in every for kind, _ in there)
    done = 0
    for path, there in every:
        if not there:
            reason = "expected a site, a run, a quality run or a gate's trial; there is none in it"
            found.append(Checked("nothing", path, "not checked", reason=reason))
        for kind, folder in there:
            report(done / total, 1, f"{folder}: {kind}, built anew")
            found.append(_check(kind, folder))
            done += _WEIGHTS[kind]
    return found


def exit_code(found: Sequence[Checked]) -> int:
    """0 all the same, 1 something differs, 3 something could not be checked."""
    if any(one.state == "differs" for one in found):
        return 1
    return 3 if not found or any(one.state == "not checked" for one in found) else 0


def _published(path: Path) -> Iterator[tuple[str, Path]]:
    """What a folder is; where it is none of ours, what lies under it."""
    if (path / building.MANIFEST).is_file():
        yield "site", path
    elif any((path / name).is_file() for name in sources.TRUST_FILES):
        yield "gate's trial", path
    elif any((path / name).is_file() for name in record_files.FILES):
        yield _kind(path), path
    elif path.is_dir():
        for folder in sorted(one for one in path.iterdir() if one.is_dir()):
            yield from _published(folder)


def _kind(path: Path) -> str:
    if path.parent.name == sources.AUTO:
        return "run of the suite auto"
    if path.parent.name == sources.QUALITY or (path / "summary.json").is_file():
        return "quality run"
    return "run"


def _check(kind: str, path: Path) -> Checked:
    try:
        with tempfile.TemporaryDirectory(prefix="marginbench-verify-") as folder:
            made = Path(folder) / "made"
            if kind == "site":
                return _compared(kind, path, made, list(_site(path, made)))
            if kind == "run of the suite auto":
                made.mkdir()
                (made / auto.VERDICT).write_text(auto.read(path).text, encoding="utf-8")
                return _compared(kind, path, made, [])
            if (path / PAGE).is_file():
                _BUILD[kind](path, made)
                return _compared(kind, path, made, [])
            _read(kind, path)
            if _shown(path):
                return Checked(kind, path, "same", reason="read whole; the site shows it")
            reason = "no page of it is committed, and no site beside it is built from its records"
            return Checked(kind, path, "not checked", reason=reason)
    except (RecordError, OSError) as error:
        return Checked(kind, path, "not checked", reason=str(error))


def _shown(path: Path) -> bool:
    """Whether a site beside the folder names its records as they are."""
    for root in (path.parent, path.parent.parent):
        try:
            manifest = root / sources.SITE / building.MANIFEST
            named = json.loads(manifest.read_text(encoding="utf-8"))["sources"]
            here = [one for one in named if root / one in _records(path)]
            if here:
                return all(building.digest(root / one) == named[one] for one in here)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return False


def _records(path: Path) -> list[Path]:
    return [path / name for name in (*record_files.FILES, *sources.TRUST_FILES)]


def _site(path: Path, made: Path) -> Iterator[str]:
    """Builds it from what its manifest names; yields which records are not what they were."""
    try:
        manifest = json.loads((path / building.MANIFEST).read_text(encoding="utf-8"))
        named = dict(manifest["sources"])
        version, at = manifest["schema_version"], manifest.get("records")
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path / building.MANIFEST} is damaged: {error!r}") from None
    if version != building.SCHEMA_VERSION:
        raise RecordError(
            f"{path / building.MANIFEST}: expected schema version {building.SCHEMA_VERSION}; got "
            f"{version!r}: build it again with: marginbench publish"
        )
    if at not in (sources.BESIDE, sources.COPIES):
        raise RecordError(f"{path / building.MANIFEST} is damaged: records: got {at!r}")
    root = path / at if at == sources.COPIES else path.parent
    missing = [name for name in named if not (root / name).is_file()]
    if missing:
        raise RecordError(
            f"{path}: expected its records in {root}; {missing[0]} is not there"
            + (f", nor are {len(missing) - 1} others" if missing[1:] else "")
        )
    for name, digest in sorted(named.items()):
        if building.digest(root / name) != digest:
            yield f"{name}: the records are not those that the site was built from"
    building.build(root, made, at=at)
    now = json.loads((made / building.MANIFEST).read_text(encoding="utf-8"))
    yield from (
        f"{name}: published since, and not in the site"
        for name in sorted(set(now["sources"]) - set(named))
    )


_BUILD: dict[str, Callable[[Path, Path], Path]] = {
    "gate's trial": trial_pages.build, "quality run": quality_pages.build, "run": run_pages.build,
}  # fmt: skip


def _read(kind: str, path: Path) -> None:
    """Every line; raises RecordError."""
    if kind == "gate's trial":
        trials.read(trials.find(path))
    elif kind == "quality run":
        reading.read(path)
    else:
        load(reading.find(path))
        sources.machine_file(path)


def _compared(kind: str, path: Path, made: Path, findings: list[str]) -> Checked:
    """Every file that is made has to be there and the same; of a site, no other may be there."""
    every = (one for one in made.rglob("*") if one.is_file() and one.name != folders.MARKER)
    names = sorted(one.relative_to(made).as_posix() for one in every)
    if not names:
        return Checked(kind, path, "not checked", reason="nothing is made from its records")
    if kind == "site":
        committed = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
        findings += [
            f"{name}: is not made from the records" for name in sorted(committed - set(names))
        ]
    for name in names:
        findings += _difference(path / name, made / name, name)
    state: State = "differs" if findings else "same"
    return Checked(kind, path, state, len(names), tuple(findings))


def _difference(committed: Path, made: Path, name: str) -> list[str]:
    if not committed.is_file():
        return [f"{name}: is not committed"]
    then, now = committed.read_bytes(), made.read_bytes()
    if name == building.MANIFEST:
        return _manifests(then, now, name)
    if then == now:
        return []
    return [f"{name}: {one}" for one in _lines(then, now)]


def _manifests(then: bytes, now: bytes, name: str) -> list[str]:
    """But for the declared fields; those are named where anything else differs."""
    old, new = json.loads(then), json.loads(now)
    differ = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if not [key for key in differ if key not in building.DECLARED]:
        return []
    return [f"{name}: {key} differs" for key in differ]


def _lines(then: bytes, now: bytes) -> list[str]:
    """The first lines that differ, committed and made."""
    try:
        old, new = then.decode().splitlines(), now.decode().splitlines()
    except UnicodeDecodeError:
        return [f"{len(then):,} bytes committed, {len(now):,} made; they differ"]
    found = []
    pairs = zip(old, new, strict=False)
    different = [(n, a, b) for n, (a, b) in enumerate(pairs, start=1) if a != b]
    for number, a, b in different[:SHOWN]:
        found.append(f"line {number}: committed {_around(a, b)}, made {_around(b, a)}")
    if len(different) > SHOWN:
        found.append(f"and {len(different) - SHOWN:,} more lines")
    if len(old) != len(new):
        found.append(f"{len(old):,} lines committed, {len(new):,} made")
    return found or ["differs in its line ends"]


def _around(text: str, other: str) -> str:
    """The part of a line where it departs from the other."""
    pairs = enumerate(zip(text, other, strict=False))
    start = next((at for at, (a, b) in pairs if a != b), min(len(text), len(other)))
    return repr(text[max(0, start - 20) : start + 60])
