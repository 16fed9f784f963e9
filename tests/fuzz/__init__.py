"""Inputs that nobody thought of: `make fuzz` looks for them, `make test` replays those that were found."""
