"""The one `Definitions` object. Short; importing it reads nothing but dbt's parsed project."""

from __future__ import annotations

import warnings

import dagster as dg

# `BackfillPolicy` is in beta; it is what makes a year's backfill one run.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from data_platform.assets.marts import mart_assets  # noqa: E402
from data_platform.assets.published import published_assets  # noqa: E402
from data_platform.assets.raw import raw_assets  # noqa: E402
from data_platform.assets.staging import staging_assets  # noqa: E402
from data_platform.automation.all import JOBS, SCHEDULES, SENSORS  # noqa: E402

defs = dg.Definitions(
    assets=[*raw_assets(), *staging_assets(), *mart_assets(), *published_assets()],
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=SENSORS,
    # Measured: two assets that do nothing take 11 s of CPU with the multiprocess executor, 4 s in one process.
    executor=dg.in_process_executor,
)
