"""The worker: the front end through which the cluster has jobs run on this machine."""
