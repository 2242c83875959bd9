"""`marts/*`: all of them, whoever builds them. What dbt builds is `dbt_assets.py`."""

import dagster as dg

from data_platform.assets.customer_segments import customer_segments
from data_platform.assets.dbt_assets import dbt_mart_assets


def mart_assets() -> list[dg.AssetsDefinition]:
    """Every mart. Needs dbt's parsed project, which the first call after a change makes."""
    return [*dbt_mart_assets(), customer_segments]
