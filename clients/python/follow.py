"""Writes to the master of the group $GROUP, whoever it is. $NATS_URL says where NATS is."""
import asyncio, os
import nats, vedette
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

def connect(master):
    print("master", master["master"], "epoch", master["epoch"], flush=True)
    return Redis(host=master["host"], port=master["port"], socket_timeout=1, socket_connect_timeout=1,
                 retry=Retry(NoBackoff(), 0))  # a command under way fails, and the application decides

async def main():
    client = await nats.connect(os.environ["NATS_URL"].split(","), ping_interval=1, reconnect_time_wait=0.1,
                                max_reconnect_attempts=-1)
    masters = await vedette.follow(client, os.environ["GROUP"])
    redis = connect(await anext(masters))

    async def move():
        nonlocal redis
        async for master in masters:
            old, redis = redis, connect(master)
            await old.aclose()

    moving, number = asyncio.create_task(move()), 0
    while not moving.done():
        await asyncio.sleep(0.01)
        try:
            number += 1
            await redis.set("written-by-python", number)
        except RedisError:
            masters.doubt()  # READONLY too

asyncio.run(main())
