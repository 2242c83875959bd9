"""What `definitions.py` takes from this package, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from data_platform.automation.drops import drop_sensor
from data_platform.automation.failures import check_failure_sensor, run_failure_sensor
from data_platform.automation.freshness import freshness_sensor
from data_platform.automation.held import held_sensor
from data_platform.automation.marts import mart_sensor
from data_platform.automation.schedules import daily_load, daily_schedule
from data_platform.automation.stuck import stuck_sensor

JOBS = (daily_load,)
SCHEDULES: Sequence[dg.ScheduleDefinition] = (daily_schedule,)
SENSORS: Sequence[dg.SensorDefinition] = (
    drop_sensor,
    held_sensor,
    mart_sensor,
    freshness_sensor,
    run_failure_sensor,
    check_failure_sensor,
    stuck_sensor,
)
