#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""An application that counts every request that it loses.

app.py DIRECTORY ADDRESS: answers on ADDRESS; from SIGHUP on it asks the peers that
DIRECTORY/peers has then, each over a connection that it keeps and over a new one each
time; with SIGTERM it asks no more, and ends when all is answered. DIRECTORY/state.json
is always whole: how many it asked, how many were answered, the first that were not.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

PORT = 5030
MARKER = b"{tcpseal-selftest-plain-marker!}"
LINE = MARKER * 2 + b"\n"
LINES = 40
PATIENCE = 30       # so long a user would wait; longer than anything here takes
KEPT, NEW = 0.4, 1.0

directory, address = Path(sys.argv[1]), sys.argv[2]
peers = set()
count = {"asked": 0, "answered": 0, "opened": 0, "slowest_ms": 0, "lost": []}
ending = asyncio.Event()


def tell():
    new = directory / "state.new"
    new.write_text(json.dumps(count | {"peers": sorted(peers)}))
    os.replace(new, directory / "state.json")


async def answer(reader, writer):
    try:
        while line := await reader.readline():
            writer.write(LINE * int(line.split()[0]))
            await writer.drain()
    except (OSError, ValueError, IndexError):
        pass
    writer.close()


async def request(reader, writer):
    writer.write(b"%d " % LINES + LINE)
    await reader.readexactly(len(LINE) * LINES)


async def ask(peer, connection):
    """One request, over this connection or a new one, which is returned."""
    count["asked"] += 1
    start, keep = time.monotonic(), connection
    try:
        async with asyncio.timeout(PATIENCE):
            if not keep:
                connection = await asyncio.open_connection(peer, PORT, local_addr=(address, 0))
                count["opened"] += 1
            await request(*connection)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        if len(count["lost"]) < 20:
            count["lost"].append(f"{address} {peer} {'kept' if keep else 'new'}: {error!r}")
        return None
    count["answered"] += 1
    count["slowest_ms"] = max(count["slowest_ms"], round((time.monotonic() - start) * 1000))
    return connection


async def pause(seconds):
    try:
        await asyncio.wait_for(ending.wait(), seconds)
    except TimeoutError:
        pass


async def use(peer, keep):
    """Asks this peer again and again, as long as it is one."""
    connection = None
    while peer in peers and not ending.is_set():
        connection = await ask(peer, connection)
        if connection and not keep:
            connection[1].close()
            connection = None
        tell()
        await pause(KEPT if keep else NEW)
    if connection:
        connection[1].close()


async def main():
    tasks = {}
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def read_peers():
        peers.clear()
        peers.update((directory / "peers").read_text().split())
        changed.set()

    def end():
        ending.set()
        changed.set()

    loop.add_signal_handler(signal.SIGHUP, read_peers)
    loop.add_signal_handler(signal.SIGTERM, end)
    server = await asyncio.start_server(answer, address, PORT)
    tell()
    while not ending.is_set():
        await changed.wait()
        changed.clear()
        for key in [(peer, keep) for peer in peers for keep in (True, False)]:
            if key not in tasks or tasks[key].done():
                tasks[key] = asyncio.create_task(use(*key))
        tell()
    if tasks:
        await asyncio.wait(tasks.values())
    count["ended"] = True
    tell()
    server.close()


asyncio.run(main())
