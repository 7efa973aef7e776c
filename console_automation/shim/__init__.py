"""What outlives the daemon: the launcher, and one shim per live run. Standard library only.

These processes are started with `python -I -S`, so they see no installed package, start in
milliseconds and weigh about one megabyte each once forked.
"""
