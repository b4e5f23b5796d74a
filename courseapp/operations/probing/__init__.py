"""What machines ask: whether a process is up, whether people can be served, and how much of what there is."""
