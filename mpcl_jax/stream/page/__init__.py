"""The local page of a stream and its server."""
