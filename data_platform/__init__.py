"""data_platform: a Dagster lakehouse in which every row is accounted for and readers see only audited data."""
