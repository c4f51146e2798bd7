"""Parts that all commands share: flags, exit status, SIGTERM, the screen."""
