// Writes to the master of the group $GROUP, whoever it is. $NATS_URL says where NATS is.
import { connect } from "nats";
import Redis from "ioredis";
import { follow } from "./vedette.mjs";

let redis;
const nats = await connect({
  servers: process.env.NATS_URL.split(","), user: process.env.NATS_USER, pass: process.env.NATS_PASSWORD,
  pingInterval: 1000, reconnectTimeWait: 100, maxReconnectAttempts: -1,
});
const masters = follow(nats, process.env.GROUP, (master) => {
  redis?.disconnect();
  // No queue and no resending: a command under way fails, and the application decides.
  redis = new Redis({
    host: master.host, port: master.port, connectTimeout: 1000, commandTimeout: 1000, enableOfflineQueue: false,
    maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, retryStrategy: () => 100,
  });
  redis.on("error", () => {}); // each command tells its own
  console.log("master", master.master, "epoch", master.epoch);
});
for (let number = 1; ; number++) {
  await new Promise((resolve) => setTimeout(resolve, 10));
  await redis?.set("written-by-node", number).catch(() => masters.doubt()); // READONLY too
}
