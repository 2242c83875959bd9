"""What a table must be: one pandera model per table. No I/O, no Dagster, no engine here."""
