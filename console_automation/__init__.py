"""Background jobs and consoles for AI agents, supervised so that none is ever lost."""

__version__ = "0.1.0"
