"""Roost: team chat that scales to zero. One chat core, two thin shells: a laptop and AWS."""

__version__ = "0.1.0"
