"""`headroom schema`: what documents may hold, for editors and generators."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from calibration.profile import Profile
from scenarios.plain import to_json
from simulator.plugins import load_plugins
from simulator.scenario import Scenario


class Document(StrEnum):
    """What has a schema."""

    SCENARIO = "scenario"
    PROFILE = "profile"


def schema(
    document: Annotated[Document, typer.Argument(metavar="DOCUMENT", help="scenario or profile.")] = Document.SCENARIO,
) -> int:
    """Print the JSON Schema of a scenario or of a profile, for editors and generators."""
    load_plugins()
    model = Profile if document is Document.PROFILE else Scenario
    sys.stdout.write(to_json(model.model_json_schema()))
    return 0
