"""The root of the command line, whose every command ends as `endings` says.

Every command lies in a file of its own beside this one. Importing them takes the standard library,
click and rich only: a command imports what it needs when it runs, so that ``--help`` answers at
once.
"""

from __future__ import annotations

from typing import Any

import click

from .check_log import check_log
from .compare import compare
from .doctor import doctor
from .endings import ending, take_any_name
from .gate import gate
from .gate_trust import gate_trust
from .history import history
from .list import list_command
from .publish import publish
from .quality.group import quality
from .report import report
from .run import run
from .sanitize import sanitize
from .static import static
from .usage import OneLineUsage
from .verify import verify
from .which import which

_EPILOG = """\b
Complete commands and options with the Tab key (bash; for zsh it is zsh_source):
  eval "$(_MARGINBENCH_COMPLETE=bash_source marginbench)"
In fish:
  env _MARGINBENCH_COMPLETE=fish_source marginbench | source
"""


class _Root(OneLineUsage):
    """Ended before click ends it, whose code for an interrupt and a closed pipe is a verdict's."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        take_any_name()
        with ending():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with ending():
            return super().invoke(ctx)


@click.group(
    cls=_Root,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def cli() -> None:
    """Measure the losses of face recognition and deep metric learning.

    \b
    Start here:
      marginbench doctor            what this machine can and can't measure
      marginbench list              the losses, their implementations, the suites
      marginbench run               measure everything (about eight minutes), write the report
      marginbench run --fast        the same on small sizes (about a minute)
      marginbench run --loss triplet --suite speed
      marginbench run --resume reports/out/RUN     continue an interrupted run
      marginbench report            redraw the newest run's report
      marginbench quality run       train with every loss, test the papers' claims (minutes)
      marginbench gate              is the working tree slower, larger or wrong?
      marginbench compare A.json B.json            two files of pytest-benchmark
      marginbench check-log         does a first logged loss agree with its settings?
      marginbench publish           build the site of reports/published
      marginbench verify            does every published page match its records?
      marginbench history           every metric over the commits
      marginbench static            do the kernels compile to what is pinned? (no GPU needed)
      marginbench which             which public code computes which variant?
      marginbench sanitize          does any kernel access memory out of bounds? (no GPU needed)

    \b
    Exit codes, unless a command's help says otherwise:
      0  fine
      1  the verdict: a regression, a difference, wrong results
      2  bad usage
      3  something could not be measured, checked, read or written
      129, 130, 143  ended by a closed terminal, Ctrl-C, kill; what was measured is kept
      141  nobody reads the output any more, as with | head
    """


for _command in (
    check_log, compare, doctor, gate, gate_trust, history, list_command, publish, quality, report,
    run, sanitize, static, verify, which,
):  # fmt: skip
    cli.add_command(_command)
