"""The root of the command line, and the one place where errors become a line and an exit code.

Every command lies in a file of its own beside this one. Importing them takes the standard library,
click and rich only: a command imports what it needs when it runs, so that ``--help`` answers at
once.
"""

from __future__ import annotations

from typing import Any

import click

from benchmarks import folders, record_files

from .compare import compare
from .doctor import doctor
from .gate import gate
from .gate_trust import gate_trust
from .history import history
from .list import list_command
from .messages import fail, unwritable
from .publish import publish
from .quality.group import quality
from .report import report
from .run import run
from .sanitize import sanitize
from .static import static
from .usage import OneLineUsage
from .verify import verify

_EPILOG = """\b
Complete commands and options with the Tab key (bash; for zsh it is zsh_source):
  eval "$(_MARGINBENCH_COMPLETE=bash_source marginbench)"
In fish:
  env _MARGINBENCH_COMPLETE=fish_source marginbench | source
"""


class _OneLineErrors(OneLineUsage):
    """Damaged files and failed writes are reported in one line, with exit code 1; a folder that is
    not the command's to write into with 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read the output has enough: click ends quietly
        except OSError as error:
            fail(unwritable(error))
        except folders.Refused as error:
            fail(str(error), 2)
        except record_files.RecordError as error:
            fail(str(error))


@click.group(
    cls=_OneLineErrors,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def cli() -> None:
    """Measure the losses of face recognition and deep metric learning.

    \b
    Start here:
      marginbench doctor            what this machine can and can't measure
      marginbench list              the losses, their implementations, the suites
      marginbench run               measure everything (about six minutes), write the report
      marginbench run --fast        the same on small sizes (about a minute)
      marginbench run --loss triplet --suite speed
      marginbench run --resume reports/out/RUN     continue an interrupted run
      marginbench report            redraw the newest run's report
      marginbench quality run       train with every loss, test the papers' claims (minutes)
      marginbench gate              is the working tree slower, larger or wrong?
      marginbench compare A.json B.json            two files of pytest-benchmark
      marginbench publish           build the site of reports/published
      marginbench verify            does every published page match its records?
      marginbench history           every metric over the commits
      marginbench static            do the kernels compile to what is pinned? (no GPU needed)
      marginbench sanitize          does any kernel access memory out of bounds? (no GPU needed)

    \b
    Exit codes, unless a command's help says otherwise:
      0  fine            2  bad usage                        130  interrupted (run, gate,
      1  failed          3  could not be measured or checked      quality run)
    """


for _command in (
    compare, doctor, gate, gate_trust, history, list_command, publish, quality, report, run,
    sanitize, static, verify,
):  # fmt: skip
    cli.add_command(_command)


def main() -> None:
    """The entry of the installed command."""
    cli(prog_name="marginbench")
