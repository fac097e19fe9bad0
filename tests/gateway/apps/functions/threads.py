"""Starts threads while it is imported, which import in their turn."""

from concurrent.futures import ThreadPoolExecutor


def work():
    import folder.inner.names

    return folder.inner.names.NAME


with ThreadPoolExecutor(2) as pool:
    results = list(pool.map(lambda _: work(), range(4)))


def handler(event, context):
    return results
