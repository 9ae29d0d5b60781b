"""Jobs of a table: what is computed, by which worker, and where results are kept."""
