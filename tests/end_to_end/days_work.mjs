// A day's work with Slack's own client for Node, unmodified. What went wrong is thrown; what it saw is printed as JSON.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_PACKAGES + "/");
const { WebClient, ErrorCode } = require("@slack/web-api");

const [slackApiUrl, anaToken, benToken] = process.argv.slice(2);
const options = { slackApiUrl, retryConfig: { retries: 0 } };
const ana = new WebClient(anaToken, options);
const ben = new WebClient(benToken, options);

async function code(call) {
  try {
    await call();
  } catch (error) {
    assert.equal(error.code, ErrorCode.PlatformError, String(error));
    return error.data.error;
  }
  throw new Error("it was not refused");
}

const me = (await ana.auth.test()).user_id;
const benId = (await ben.auth.test()).user_id;
const name = "node-" + Date.now();

// channels
const channel = (await ana.conversations.create({ name, is_private: false })).channel.id;
assert.equal(await code(() => ben.conversations.create({ name })), "name_taken");
const joined = await ben.conversations.join({ channel });
assert.equal(joined.channel.is_member, true);
assert.deepEqual((await ben.conversations.join({ channel })).response_metadata.warnings, ["already_in_channel"]);
assert.equal((await ana.conversations.setTopic({ channel, topic: "Grüße" })).channel.topic.value, "Grüße");
const listed = [];
for await (const page of ana.paginate("conversations.list", { limit: 1, exclude_archived: true })) {
  listed.push(...page.channels.map((each) => each.name));
}
assert.ok(listed.includes(name) && listed.includes("general"), String(listed));

// messages
const blocks = [{ type: "section", block_id: "b", text: { type: "mrkdwn", text: "*hi* & <ho>" } }];
const posted = await ana.chat.postMessage({ channel, text: "hi", blocks, unfurl_links: false });
assert.deepEqual(posted.message.blocks, blocks);
assert.equal((await ana.chat.update({ channel, ts: posted.ts, text: "ho" })).text, "ho");
for (let number = 0; number < 5; number++) {
  await ben.chat.postMessage({ channel, text: String(number), thread_ts: posted.ts, reply_broadcast: number === 4 });
}
const thread = [];
for await (const page of ana.paginate("conversations.replies", { channel, ts: posted.ts, limit: 3 })) {
  thread.push(...page.messages.map((each) => each.text));
}
assert.deepEqual(thread, ["ho", "0", "1", "2", "3", "4"]);
const history = await ana.conversations.history({ channel, limit: 2 });
assert.equal(history.messages[0].text, "4");
assert.equal(history.messages[0].subtype, "thread_broadcast");
assert.equal(history.has_more, true);

// reactions, pins, a direct conversation
await ben.reactions.add({ channel, timestamp: posted.ts, name: "tada" });
assert.equal(await code(() => ben.reactions.add({ channel, timestamp: posted.ts, name: "tada" })), "already_reacted");
const reacted = await ana.reactions.get({ channel, timestamp: posted.ts });
assert.deepEqual(reacted.message.reactions, [{ name: "tada", users: [benId], count: 1 }]);
await ana.pins.add({ channel, timestamp: posted.ts });
assert.equal((await ben.pins.list({ channel })).items.length, 1);
const direct = (await ana.conversations.open({ users: benId })).channel.id;
assert.equal((await ana.chat.postMessage({ channel: benId, text: "psst" })).channel, direct);
await ben.conversations.mark({ channel: direct, ts: (await ben.conversations.history({ channel: direct })).messages[0].ts });
assert.deepEqual(new Set((await ana.conversations.members({ channel })).members), new Set([me, benId]));
const everybody = await ana.users.list({});
assert.ok(everybody.members.some((each) => each.name === "ben"));

// what is refused
assert.equal(await code(() => ana.apiCall("no.such.method")), "unknown_method");
assert.equal(await code(() => new WebClient("xoxp-none", options).auth.test()), "invalid_auth");
assert.equal(await code(() => new WebClient(undefined, options).auth.test()), "not_authed");
const hidden = (await ana.conversations.create({ name: name + "-x", is_private: true })).channel.id;
assert.equal(await code(() => ben.conversations.info({ channel: hidden })), "channel_not_found");
assert.equal(await code(() => ben.chat.delete({ channel, ts: posted.ts })), "cant_delete_message");
await ana.chat.delete({ channel, ts: posted.ts });

// over the rate: the client is told for how long to wait, and says so
let told = null;
const hasty = new WebClient(anaToken, { ...options, rejectRateLimitedCalls: true });
try {
  for (let number = 0; number < 30; number++) await hasty.rtm.connect({});
} catch (error) {
  assert.equal(error.code, ErrorCode.RateLimitedError, String(error));
  told = error.retryAfter;
}

console.log(JSON.stringify({ channel, ts: posted.ts, told }));
