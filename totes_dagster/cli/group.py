"""What the commands of `totes` share: their options, how they fail, what they ask, and how they are interrupted."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from totes_dagster.errors import TotesError

T = TypeVar("T")


def _set_verbosity(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    """Print more, or only errors: at once, because messages may come before the command begins."""
    if value and parameter.name == "verbose":
        logging.getLogger().setLevel(logging.INFO)
    elif value:
        from totes_dagster.runtime.terminal import console

        logging.getLogger().setLevel(logging.ERROR)
        console.quiet = True
        context.call_on_close(lambda: setattr(console, "quiet", False))


def _verbosity() -> list[click.Parameter]:
    """The options that every command takes, before its name or after it."""
    flag = {"is_flag": True, "is_eager": True, "expose_value": False, "callback": _set_verbosity}
    return [
        click.Option(["-v", "--verbose"], help="Also print informational log messages.", **flag),  # type: ignore[arg-type]
        click.Option(["-q", "--quiet"], help="Print errors only, and what was asked for as JSON.", **flag),  # type: ignore[arg-type]
    ]


class Command(click.Command):
    """A command that takes the options of `totes` itself, too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += _verbosity()


class Commands(click.Group):
    """A group whose commands print one clear line when they fail with a named error."""

    command_class = Command

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += _verbosity()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except TotesError as error:
            click.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
            sys.exit(error.exit_status)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def confirm(warning: str) -> None:
    """Ask whether to continue; end the command if the answer is no, or if there is no input."""
    try:
        agreed, line_has_ended = click.confirm(f"{warning} Go on?"), sys.stdin.isatty()
    except click.Abort:  # end of input, or Ctrl-C
        agreed, line_has_ended = False, False
    if not line_has_ended:
        click.echo()
    if not agreed:
        click.echo("Nothing was changed. To skip the question, give --yes.", err=True)
        sys.exit(1)


def interruptible(work: Callable[[], T]) -> T:
    """Do some work that Ctrl-C ends at once: nothing is half-written, and the next command carries on from there."""
    from totes_dagster.runtime.interruption import interruptibly

    try:
        return interruptibly(work)
    except KeyboardInterrupt:
        click.secho("Interrupted. Nothing is half-written; the next refresh carries on.", fg="red", err=True)
        sys.stdout.flush()
        os._exit(130)  # ends the working thread as well
