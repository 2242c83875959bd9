"""How a contract judges rows: compiled rules, screening, quarantine, audit. No Dagster here."""
