"""Broken input, made by the thousand, and the check that it ends as broken input must."""
