// As ioredis.mjs, with node-redis.

import { createSentinel } from "redis";
import { setTimeout as sleep } from "node:timers/promises";

const sentinelRootNodes = process.env.SENTINELS.split(",").map((place) => {
  const at = place.lastIndexOf(":");
  return { host: place.slice(0, at), port: Number(place.slice(at + 1)) };
});
const redis = createSentinel({
  name: process.env.GROUP,
  sentinelRootNodes,
  // Without a timeout a connection to a machine that hangs is kept. With the usual strategy all
  // commands wait for ever once it connects to a master that died: false has it ask again.
  nodeClientOptions: { socket: { connectTimeout: 500, socketTimeout: 500, reconnectStrategy: false } },
});
redis.on("error", (error) => console.log(String(error)));
await redis.connect();
for (let number = 1; ; ++number) {
  console.log("try", number);
  try {
    await redis.sAdd(`written-by-${process.env.NAME}`, String(number));
    console.log("ack", number);
  } catch (error) {
    console.log(String(error));
  }
  await sleep(10);
}
