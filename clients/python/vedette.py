"""Who is master of a group of Vedette, now and at each change; for nats-py. To be copied into an application."""
import asyncio
import json
import re

import nats

ANSWER_LIMIT = 1.0  # seconds for an orchestrator to answer, and for JetStream
ASK_EVERY = 5.0  # seconds; asked again although nothing seems wrong: an announcement may get lost
PAUSE = 0.2  # seconds, at the least, between two questions


async def follow(client, group, prefix="vedette"):
    """Begins to follow a group, by its plain name, with a connection of nats-py. Returns `Masters`.

    `prefix` is the word at the beginning of all subjects, as the services have it in `nats.prefix`.
    """
    masters = Masters(client, group, prefix)
    # Before the first question, so that no change between the two is missed.
    masters._subscription = await client.subscribe(masters._announced, cb=masters._hear)
    masters._asking = asyncio.create_task(masters._ask_for_ever())
    masters._asking.add_done_callback(lambda _: masters._end())
    return masters


class Masters:
    """The masters of one group: `async for master in masters`, by one reader.

    The present one comes first, then the new one after each change, each as the dict that was announced: `host`, `port`,
    `epoch` and what else README.md lists. A slow reader gets the newest only; no epoch ever follows a higher one. While
    nobody knows who is master, nothing comes. It ends with `close` and when the connection to NATS is closed for good.
    """

    def __init__(self, client, group, prefix):
        escape = lambda found: "".join(f"={byte:02X}" for byte in found[0].encode())
        group = re.sub("[^A-Za-z0-9_-]", escape, group)
        self.present = None
        self._client, self._domain = client, prefix
        self._announced, self._question = f"{prefix}.v1.master.{group}", f"{prefix}.v1.ask.master.{group}"
        self._bucket, self._key = f"KV_{prefix}-masters", f"$KV.{prefix}-masters.{group}"
        self._newest = (0, 0)
        self._news, self._doubted, self._ended = asyncio.Event(), False, False

    def doubt(self):
        """Has the master asked for again soon: after each error of the connection to Redis, `READONLY` too."""
        self._doubted = True

    async def close(self):
        """Follows no more."""
        self._asking.cancel()
        if not self._client.is_closed:
            await self._subscription.unsubscribe()

    def __aiter__(self):
        return self

    async def __anext__(self):
        await self._news.wait()
        if self._ended:
            raise StopAsyncIteration
        self._news.clear()
        return self.present

    def _end(self):
        self._ended = True
        self._news.set()

    async def _ask_for_ever(self):
        while not self._client.is_closed:
            reconnects = self._client.stats["reconnects"]
            self._doubted = False
            if not await self._ask():
                await self._look_up()
            for _ in range(int(ASK_EVERY / PAUSE)):
                await asyncio.sleep(PAUSE)
                # What was announced while there was no connection has been missed.
                if self._doubted or self._client.stats["reconnects"] != reconnects:
                    break

    async def _ask(self):
        try:
            return await self._hear(await self._client.request(self._question, timeout=ANSWER_LIMIT))
        except nats.errors.Error:
            return False

    async def _look_up(self):
        """The last master that was retained; it may be out of date."""
        # For applications in an account of their own JetStream is a domain named as the prefix; elsewhere nobody serves that.
        for domain in (self._domain, None):
            streams = self._client.jetstream(domain=domain, timeout=ANSWER_LIMIT)
            try:
                kept = await streams.get_last_msg(self._bucket, self._key)
            except nats.js.errors.ServiceUnavailableError:
                continue
            except nats.errors.Error:
                return
            self._consider(kept.data)
            return

    async def _hear(self, message):
        # What a stream hands over is nobody's word: whoever reads one chooses where it goes.
        handed_over = message.reply.startswith("$JS.ACK.") or "Nats-Stream" in (message.headers or {})
        return not handed_over and self._consider(message.data)

    def _consider(self, text):
        """Takes a record over if it is newer; says whether it was one."""
        try:
            record = json.loads(text)
            age = (record["epoch"], record["revision"])
            if record["schema"] != 1:
                return False
            if age > self._newest:
                moved, self._newest = age[0] > self._newest[0], age
                if moved:
                    self.present = record
                    self._news.set()
        except (ValueError, KeyError, TypeError):
            return False
        return True
