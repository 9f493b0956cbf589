"""Writes to the master of the group $GROUP, whoever it is. $NATS_URL says where NATS is."""
import asyncio, json, os, re
import nats
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

GROUP = re.sub("[^A-Za-z0-9_-]", lambda c: "".join(f"={b:02X}" for b in c[0].encode()), os.environ["GROUP"])
newest, redis, doubt = (0, 0), None, asyncio.Event()

async def hear(message):
    global newest, redis
    record = json.loads(message.data)
    if record["schema"] != 1 or (record["epoch"], record["revision"]) <= newest:
        return  # never back
    moved, newest = record["epoch"] > newest[0], (record["epoch"], record["revision"])
    if moved:
        # No retries: a command under way fails, and the application decides.
        old, redis = redis, Redis(host=record["host"], port=record["port"], socket_timeout=1,
                                  socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
        print("master", record["master"], "epoch", record["epoch"], flush=True)
        if old:
            await old.aclose()

async def announced(message):
    # What a stream hands over is nobody's word: whoever reads one chooses where it goes.
    if not (message.reply.startswith("$JS.ACK.") or "Nats-Stream" in (message.headers or {})):
        await hear(message)

async def ask(client):
    while True:  # at the start, after a doubt, and every 5 s: an announcement may get lost
        doubt.clear()
        try:
            await hear(await client.request(f"vedette.v1.ask.master.{GROUP}", timeout=1))
        except nats.errors.Error:  # nobody answers: the last master that was retained
            try:
                kept = client.jetstream(timeout=1).get_last_msg
                await hear(await kept("KV_vedette-masters", f"$KV.vedette-masters.{GROUP}"))
            except nats.errors.Error:
                pass
        await asyncio.sleep(0.2)
        await asyncio.wait([asyncio.ensure_future(doubt.wait())], timeout=5)

async def main():
    async def reconnected():
        doubt.set()  # announcements were missed
    client = await nats.connect(os.environ["NATS_URL"].split(","), reconnected_cb=reconnected, ping_interval=1,
                                reconnect_time_wait=0.1, max_reconnect_attempts=-1)
    await client.subscribe(f"vedette.v1.master.{GROUP}", cb=announced)
    asking, number = asyncio.create_task(ask(client)), 0
    while True:
        await asyncio.sleep(0.01)
        try:
            number += 1
            await redis.set("written-by-python", number) if redis else None
        except RedisError:  # READONLY too
            doubt.set()

asyncio.run(main())
