"""A user's own folder."""
