"""One recording as a page: who spoke when, and how."""
