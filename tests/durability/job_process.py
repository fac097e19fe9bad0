"""A process that does jobs until it is killed: `python -m tests.durability.job_process DATABASE NOTES`.

Each job is noted in a file. A job `A…` is done by storing an item and queueing its job `B…` in one transaction. It ends
by itself once nothing is left to do.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from roost.local.queue import Worker
from roost.local.sqlite import SqliteTable
from roost.local.waiting import Hub
from roost.storage.jobs import Job, Queue
from roost.storage.table import Missing, Put, TransactionFailed

PAUSES = (0.05,) * 1000  # a try is used up by each kill, and there will be many


async def main(database: Path, notes: Path) -> None:
    """Do jobs."""
    table = SqliteTable(database)
    queue = Queue(table, lambda: time.time_ns() // 1000, pauses=PAUSES)
    note = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def do(job: Job) -> None:
        os.write(note, f"{job.id}\n".encode())
        if job.id.startswith("A"):
            following = "B" + job.id[1:]
            item = {"PK": "told", "SK": following}
            try:
                table.transact([Put({**item}, Missing()), *queue.operations(Job(following, "b"), time.time() + 0.02)])
            except TransactionFailed:
                return  # done before, and died before that was noted

    worker = Worker(queue, table, do, Hub(asyncio.get_running_loop()))
    worker.start()
    while await asyncio.to_thread(lambda: list(queue.unfinished())):
        await asyncio.sleep(0.3)
    await worker.stop()
    table.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
