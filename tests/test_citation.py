"""CITATION.cff keeps the rules of the Citation File Format 1.2.0 and says what the project says.

The rules are those of the keys that such a file of ours may use; another key has to be added here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="needs PyYAML to read CITATION.cff")
ROOT = Path(__file__).resolve().parents[1]
Check = Callable[[Any], bool]


def text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def texts(value: Any) -> bool:
    unique = isinstance(value, list) and len(value) == len(set(map(str, value))) > 0
    return unique and all(map(text, value))


def like(pattern: str) -> Check:
    """YAML reads a date as one; the rules are of how it is written."""
    return lambda value: bool(re.fullmatch(pattern, str(value)))


DATE = like(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
DOI = like(r"10\.\d{4,9}(\.\d+)?/[\w:/;\-.()\[\]\\]+")
ORCID = like(r"https://orcid\.org/\d{4}-\d{4}-\d{4}-\d{3}[\dX]")
URL = like(r"(https?|s?ftp)://\S+")
PERSON = {"family-names": text, "given-names": text, "name-particle": text, "name-suffix": text,
          "affiliation": text, "alias": text, "orcid": ORCID, "website": URL}  # fmt: skip
ENTITY = {"name": text, "alias": text, "orcid": ORCID, "website": URL}
COMMON = {"title": text, "abstract": text, "doi": DOI, "url": URL, "repository-code": URL,
          "version": text, "commit": text, "date-released": DATE, "keywords": texts,
          "license": like("Apache-2.0")}  # fmt: skip
WHOLE = {**COMMON, "cff-version": like(r"1\.2\.0"), "message": text,
         "type": like("software|dataset")}  # fmt: skip
REFERENCE = {**COMMON, "type": like("article|conference-paper|book|report|thesis|software|data"),
             "year": lambda value: isinstance(value, int), "month": like("[1-9]|1[0-2]"),
             "journal": text, "collection-title": text, "pages": text, "start": text, "end": text,
             "volume": text, "publisher": lambda value: not list(broken(value, ENTITY, ("name",))),
             "conference": lambda value: not list(broken(value, ENTITY, ("name",)))}  # fmt: skip


def broken(found: Any, rules: dict[str, Check], needed: tuple[str, ...]) -> Iterator[str]:
    """Each rule that is not kept, with the key and what stands there."""
    if not isinstance(found, dict):
        yield f"expected keys and values; got {found!r}"
        return
    yield from (f"{key}: is missing" for key in needed if key not in found)
    for key, value in found.items():
        if key not in rules:
            yield f"{key}: is no key of it"
        elif not rules[key](value):
            yield f"{key}: got {value!r}"


def authors(found: Any) -> Iterator[str]:
    """People, or groups of them by name; at least one."""
    if not isinstance(found, list) or not found:
        yield f"authors: expected a list; got {found!r}"
        return
    for one in found:
        group = isinstance(one, dict) and "name" in one
        yield from broken(one, ENTITY if group else PERSON, () if group else ("family-names",))


def findings(found: Any) -> list[str]:
    """What is wrong with a whole file, as YAML reads it."""
    if not isinstance(found, dict):
        return [f"expected keys and values; got {found!r}"]
    rest = {key: value for key, value in found.items() if key not in ("authors", "references")}
    problems = [*broken(rest, WHOLE, ("cff-version", "message", "title")),
            *authors(found.get("authors"))]  # fmt: skip
    for one in found.get("references", ()):
        kept = {key: value for key, value in one.items() if key != "authors"}
        problems += [f"{one.get('title')}: {said}" for said in (
            *broken(kept, REFERENCE, ("title", "type")), *authors(one.get("authors")))]  # fmt: skip
    return problems


def cited() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_file_keeps_the_rules():
    assert findings(cited()) == []


def test_it_says_of_the_project_what_the_project_says():
    suite = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    project = tomllib.loads((ROOT / "kernels" / "pyproject.toml").read_text())["project"]
    found = cited()
    assert suite["version"] == project["version"]
    assert found["version"] == project["version"] and found["license"] == project["license"]
    assert found["title"].lower().startswith(f"{project['name']}:")
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]


WRONG = {
    "cff-version": 1.2, "message": "", "title": None, "type": "program", "license": "Apache 2",
    "doi": "https://doi.org/10.1/x", "date-released": "2026-13-01", "keywords": ["one", "one"],
    "url": "example.org", "licence": "Apache-2.0", "authors": [],
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
def test_a_file_that_breaks_a_rule_is_found(key: str):
    problems = findings({**cited(), key: WRONG[key]})
    assert len(problems) == 1 and problems[0].startswith(f"{key}: ")


@pytest.mark.parametrize(
    "author",
    [{"given-names": "A"}, {"name": "We", "given-names": "A"}, "Somebody",
     {"family-names": "A", "orcid": "0000-0002-1825-0097"}],
)  # fmt: skip
def test_an_author_that_is_none_is_found(author: Any):
    assert findings({**cited(), "authors": [author]})
    [first, *others] = cited()["references"]
    problems = findings({**cited(), "references": [{**first, "authors": [author]}, *others]})
    assert len(problems) == 1 and problems[0].startswith(first["title"])


@pytest.mark.parametrize("key", ["cff-version", "message", "title", "authors"])
def test_a_key_that_is_missing_is_found(key: str):
    assert findings({name: value for name, value in cited().items() if name != key})
