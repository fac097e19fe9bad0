from circle import one


def names():
    return [one.name(), "two"]
