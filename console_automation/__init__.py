"""Background jobs and consoles for AI agents, supervised so that none is ever lost."""

__version__ = "0.1.0"

#: What is said on Windows, where the package can be imported and nothing can be run.
NOT_ON_WINDOWS = (
    "console-automation runs jobs with POSIX processes and Unix sockets. On Windows there is nothing"
    " to run yet: the package imports, that is all. In WSL everything works as on Linux."
)
