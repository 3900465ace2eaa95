"""The page of what sampling classes costs says what its record says."""

from __future__ import annotations

from pathlib import Path

from benchmarks import sampled_loss as measured
from benchmarks.sampled_loss import Bias, Step
from reports import pages
from reports.document import figures
from reports.pages import Page
from reports.site import sampled_loss
from reports.style import Styles

BIASES = [
    Bias(cosine, rate, corrected, loss, 0.1, part, part)
    for cosine in (0.0, 0.5)
    for rate, corrected, loss, part in (
        (0.01, False, 1.0, 0.125), (0.01, True, 2.5, 0.625), (0.15, False, 1.5, 0.25),
        (0.15, True, 2.75, 0.75), (1.0, False, 3.0, 1.0),
    )
]  # fmt: skip
STEPS = [Step(1.0, 2_000.0, 1_900.0, 8_000_000), Step(0.1, 500.0, 480.0, 1_000_000)]


def test_the_page_says_what_the_record_says():
    record = measured.facts(BIASES, STEPS, Path("sampled-loss.json"))
    made = sampled_loss.document(record)
    assert "share of 0.15 of the classes and targets at a cosine of 0.5" in made.lead
    assert "1.50 as published, 2.75 corrected and 3.00 over all classes" in made.lead
    (figure,) = [one for section in made.sections for one in figures(section.blocks)]
    assert len(figure.data.rows) == len(BIASES)
    text = pages.render(made, Page("sampled-loss.html", Styles(())))
    assert "takes 0.25 of the time and 0.12 of the memory" in text
    assert "python -m benchmarks.sampled_loss" in text
