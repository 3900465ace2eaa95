"""What all pages of the site share, and where they lie, as paths from its root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..document import Link
from ..overview import FIGURES
from ..pages import Page
from ..sections.context import slug
from ..style import Styles

HOME, LOSSES, GATE_PAGE, REPRODUCE = "index.html", "losses.html", "gate.html", "reproduce.html"
SHARED = "shared-kernels.html"
FOOTER = (
    f"{FIGURES} A linked figure leads to its record, with all raw rounds and the command that "
    "measures it again."
)


def program_page(name: str) -> str:
    return f"{name}.html"


def loss_page(loss: str) -> str:
    return f"losses/{slug(loss)}.html"


def machine_page(name: str) -> str:
    return f"machines/{name}.html"


def quality_page(name: str) -> str:
    return f"quality/{name}.html"


def trial_page(name: str) -> str:
    return f"gate/{name}.html"


@dataclass(frozen=True)
class Frame:
    """The navigation, and the style of each contender over the whole site."""

    nav: tuple[Link, ...]
    styles: Styles

    def page(self, path: str, **given: Any) -> Page:
        """``given``: further fields of `Page`."""
        return Page(path, **{"styles": self.styles, "nav": self.nav, **given})
