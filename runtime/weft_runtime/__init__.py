"""What runs on every device: the `Device` interface, modules and sessions. Needs numpy alone."""
