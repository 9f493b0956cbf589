// Writes to the master of the group $GROUP, whoever it is. $NATS_URL says where NATS is.
import { connect, Events } from "nats";
import Redis from "ioredis";

const group = process.env.GROUP.replace(/[^A-Za-z0-9_-]/gu, (c) =>
  [...Buffer.from(c)].map((b) => "=" + b.toString(16).toUpperCase().padStart(2, "0")).join(""));
let epoch = 0, revision = 0, redis, lastAsked = 0;

function hear(record) {
  if (record.schema !== 1 || record.epoch < epoch || (record.epoch === epoch && record.revision <= revision)) return; // never back
  const moved = record.epoch > epoch;
  ({ epoch, revision } = record);
  if (!moved) return;
  redis?.disconnect();
  // No queue and no resending: a command under way fails, and the application decides.
  redis = new Redis({ host: record.host, port: record.port, connectTimeout: 1000, commandTimeout: 1000,
    enableOfflineQueue: false, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, retryStrategy: () => 100 });
  redis.on("error", () => {}); // each command tells its own
  console.log("master", record.master, "epoch", record.epoch);
}

// What a stream hands over is nobody's word: whoever reads one chooses where it goes.
const handedOver = (message) => message.reply?.startsWith("$JS.ACK.") || message.headers?.has("Nats-Stream");

async function ask() {
  if (Date.now() - lastAsked < 200) return;
  lastAsked = Date.now();
  try {
    hear((await nats.request(`vedette.v1.ask.master.${group}`, "", { timeout: 1000 })).json());
  } catch { // nobody answers: the last master that was retained
    const bucket = await nats.jetstream({ timeout: 1000 }).views.kv("vedette-masters", { bindOnly: true }).catch(() => null);
    const kept = await bucket?.get(group).catch(() => null);
    if (kept) hear(kept.json());
  }
}

const nats = await connect({ servers: process.env.NATS_URL.split(","), maxReconnectAttempts: -1, reconnectTimeWait: 100, pingInterval: 1000 });
nats.subscribe(`vedette.v1.master.${group}`, { callback: (error, message) => error || handedOver(message) || hear(message.json()) });
await ask();
setInterval(ask, 5000); // an announcement may get lost
(async () => { for await (const status of nats.status()) if (status.type === Events.Reconnect) ask(); })();
for (let number = 1; ; number++) {
  await new Promise((resolve) => setTimeout(resolve, 10));
  await redis?.set("written-by-node", number).catch(() => void ask()); // READONLY too
}
