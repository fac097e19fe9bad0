from circle import two


def name():
    return "one"


def handler(event, context):
    return two.names()
