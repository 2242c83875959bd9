"""Where tables live: connection, commit gate, ledger, publish. Only the IO managers here import Dagster."""
