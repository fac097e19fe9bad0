"""The roost command."""


def main() -> None:
    """Run the command line."""
