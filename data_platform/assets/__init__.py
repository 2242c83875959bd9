"""Raw, staging, marts and published as Dagster assets: thin declarations over the rooms below."""
