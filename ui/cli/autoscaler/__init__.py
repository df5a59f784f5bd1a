"""`headroom autoscaler`: what an autoscaler would do to a service, before it is rolled out."""

from __future__ import annotations

from ui.cli.lazily import lazy_app

app = lazy_app(
    {
        "validate": "ui.cli.autoscaler.validating:validate",
        "compare": "ui.cli.autoscaler.comparing:compare",
        "explain": "ui.cli.autoscaler.explaining:explain",
        "lint": "ui.cli.autoscaler.linting:lint",
        "replay": "ui.cli.autoscaler.replaying:replay",
    },
    help="Validate an autoscaler's settings against a load before they are rolled out.",
)
