import time

time.sleep(0.6)


def handler(event, context):
    return "awake"
