"""The command line: `job` for people and agents with a shell, `console-automation` for servers."""
