"""Commands whose modules are imported when they are asked for: no command waits for the libraries of all others."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group that knows where its commands lie; help imports them all."""

    places: ClassVar[dict[str, str]]
    """module:function or module:app, by the name of the command, in the order of the help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": dict.fromkeys(self.places)})

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the places."""
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        if cmd_name in self.places and self.commands[cmd_name] is None:
            module, _, what = self.places[cmd_name].partition(":")
            found = getattr(importlib.import_module(module), what)
            self.commands[cmd_name] = _command(cmd_name, found)
        return self.commands.get(cmd_name)


def _command(name: str, found: Any) -> Any:
    """The command of a function, or the group of an app, which offers no completion of its own."""
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_group(found)
    else:
        app = typer.Typer(add_completion=False)
        app.command(name)(found)
        command = typer.main.get_command(app)
    command.name = name
    return command


def lazy_app(places: dict[str, str], **settings: Any) -> typer.Typer:
    """An app of such commands."""
    group = type("Group", (LazyGroup,), {"places": places})
    app = typer.Typer(cls=group, no_args_is_help=True, **settings)
    app.callback(help=settings.get("help"))(lambda: None)
    return app
