// Uploads a file with @slack/web-api: `node uploads.mjs BASE_URL TOKEN CHANNEL`; prints the id of the file.
import { createRequire } from "node:module";
const { WebClient } = createRequire(`${process.env.NODE_PACKAGES}/`)("@slack/web-api");

const [url, token, channel] = process.argv.slice(2);
const client = new WebClient(token, { slackApiUrl: url, retryConfig: { retries: 0 } });
const bytes = Buffer.from(Array.from({ length: 256 }, (_, number) => number));
const answer = await client.filesUploadV2({
  channel_id: channel,
  initial_comment: "from node",
  file_uploads: [{ file: bytes, filename: "bytes.bin", title: "Bytes" }],
});
console.log(answer.files[0].files[0].id);
