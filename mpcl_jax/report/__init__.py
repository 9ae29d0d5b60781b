"""One self-contained page per run, or for several: everything embedded, nothing fetched, all text escaped."""
