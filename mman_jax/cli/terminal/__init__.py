"""Parts that commands share: flags, exit statuses, the screen."""
