"""Pictures of a memory and of results: each a function from arrays to a matplotlib `Figure`, usable alone."""
