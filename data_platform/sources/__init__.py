"""Where rows come from: declarations, file readers, the sample shop. No Dagster here."""
