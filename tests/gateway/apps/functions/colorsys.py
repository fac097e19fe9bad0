"""Bears the name of a module of the standard library."""


def handler(event, context):
    import colorsys

    return colorsys.handler is handler
