"""What every command shares: flags, exit status, SIGTERM, the screen."""
