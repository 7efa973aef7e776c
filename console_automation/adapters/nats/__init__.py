"""The cluster over NATS JetStream: the one place that knows it."""
