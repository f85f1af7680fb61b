"""Several machines: the log on NATS JetStream, blobs on several nodes."""
