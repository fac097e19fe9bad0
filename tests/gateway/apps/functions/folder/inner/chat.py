"""In a folder of a folder, neither of which is a package."""

from . import names


def handler(event, context):
    return names.NAME
