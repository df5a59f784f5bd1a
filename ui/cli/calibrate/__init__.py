"""`headroom calibrate`: from a model to a profile that scenarios can name, and the proof that it holds."""

from __future__ import annotations

from ui.cli.lazily import lazy_app

app = lazy_app(
    {
        "probe": "ui.cli.calibrate.probing:probe",
        "plan": "ui.cli.calibrate.probing:plan",
        "measure": "ui.cli.calibrate.measuring:measure",
        "gather": "ui.cli.calibrate.gathering:gather",
        "fit": "ui.cli.calibrate.fitting:fit",
        "check": "ui.cli.calibrate.checking:check",
        "validate": "ui.cli.calibrate.validating:validate",
        "report": "ui.cli.calibrate.reporting:report",
        "diff": "ui.cli.calibrate.checking:diff",
        "verify": "ui.cli.calibrate.checking:verify",
        "llm": "ui.cli.calibrate.llm:llm",
        "derive": "ui.cli.calibrate.deriving:derive",
    },
    help="Measure how long a model's batches take here, make a profile of it, and prove it against a real server.",
)
