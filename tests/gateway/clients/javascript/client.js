// Drives the AWS SDK for JavaScript v3, with its Upload and its presigner, through the gateway.
//
// Runs the operations that its arguments name, and prints the outcome of each as a line for clients.py. Its settings
// are those of the SDK's environment; its code sets path-style addresses.

import assert from "node:assert/strict";
import { createReadStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";

import {
  CopyObjectCommand, DeleteObjectCommand, DeleteObjectsCommand, GetObjectCommand, HeadObjectCommand,
  ListObjectsV2Command, NoSuchKey, NotFound, PutObjectCommand, S3Client, paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const { BUCKET: Bucket, FORBIDDEN, PREFIX, FILES } = process.env;
const client = new S3Client({ forcePathStyle: true });
const stored = ["empty", "one", "small", "large"];

const at = (name) => ({ Bucket, Key: `${PREFIX}/${name}` });
const path = (name) => join(FILES, name);
const file = (name) => readFileSync(path(name));

async function read(name, more = {}) {
  const { Body } = await client.send(new GetObjectCommand({ ...at(name), ...more }));
  return Buffer.from(await Body.transformToByteArray());
}

function same(got, want, what) {
  assert(got.equals(want), `${what}: ${got.length} bytes that are not the expected ${want.length}`);
}

async function compare(object, name) {
  same(await read(object), file(name), object);
}

async function get() {
  for (const name of stored) await compare(`files/${name}`, name);
}

const operations = {
  async put() {
    for (const name of ["empty", "one", "small"]) {
      await client.send(new PutObjectCommand({ ...at(`files/${name}`), Body: file(name) }));
    }
  },

  // A stream of unknown length.
  async multipart() {
    const Body = Readable.from(createReadStream(path("large")));
    const params = { ...at("files/large"), Body };
    await new Upload({ client, params, partSize: 5 << 20, queueSize: 4 }).done();
  },

  get,

  async range() {
    const large = file("large");
    const ranges = { "bytes=8388000-8389000": [8388000, 8389001], "bytes=-7": [-7], "bytes=20000000-": [20000000] };
    for (const [Range, [from, to]] of Object.entries(ranges)) {
      same(await read("files/large", { Range }), large.subarray(from, to), Range);
    }
  },

  // Two objects a page.
  async list() {
    const sizes = {};
    const pages = paginateListObjectsV2({ client, pageSize: 2 }, { Bucket, Prefix: at("files/").Key });
    for await (const { Contents } of pages) {
      for (const { Key, Size } of Contents) sizes[Key.slice(at("files/").Key.length)] = Size;
    }
    assert.deepEqual(sizes, Object.fromEntries(stored.map((name) => [name, file(name).length])));
  },

  async head() {
    for (const name of stored) {
      const { ContentLength } = await client.send(new HeadObjectCommand(at(`files/${name}`)));
      assert.equal(ContentLength, file(name).length, name);
    }
  },

  async metadata() {
    const more = { ContentType: "text/csv", Metadata: { color: "blue" } };
    await client.send(new PutObjectCommand({ ...at("metadata"), Body: file("small"), ...more }));
    const { ContentType, Metadata } = await client.send(new HeadObjectCommand(at("metadata")));
    assert.deepEqual({ ContentType, Metadata }, more);
  },

  async copy() {
    for (const name of ["small", "large"]) {
      const CopySource = `${Bucket}/${at(`files/${name}`).Key}`;
      await client.send(new CopyObjectCommand({ ...at(`copies/${name}`), CopySource }));
      await compare(`copies/${name}`, name);
    }
  },

  async delete() {
    for (const name of ["a", "b", "c"]) {
      await client.send(new PutObjectCommand({ ...at(`deleted/${name}`), Body: name }));
    }
    await client.send(new DeleteObjectCommand(at("deleted/a")));
    const Objects = ["b", "c"].map((name) => ({ Key: at(`deleted/${name}`).Key }));
    const { Deleted, Errors } = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.equal(Deleted.length, 2);
    assert.equal(Errors, undefined);
    const { KeyCount } = await client.send(new ListObjectsV2Command({ Bucket, Prefix: at("deleted/").Key }));
    assert.equal(KeyCount, 0);
  },

  // Puts and gets with presigned URLs, by another HTTP client.
  async presign() {
    const body = file("small");
    const put = await getSignedUrl(client, new PutObjectCommand(at("presigned")));
    const answer = await fetch(put, { method: "PUT", body });
    assert.equal(answer.status, 200, await answer.text());
    const got = await fetch(await getSignedUrl(client, new GetObjectCommand(at("presigned"))));
    const content = Buffer.from(await got.arrayBuffer());
    assert.equal(got.status, 200, content.toString());
    same(content, body, "presigned");
  },

  async sealed() {
    await compare("by-sealwax", "by-sealwax");
  },

  async errors() {
    await assert.rejects(client.send(new GetObjectCommand(at("missing"))), NoSuchKey);
    await assert.rejects(client.send(new HeadObjectCommand(at("missing"))), NotFound);
    const denied = { name: "AccessDenied" };
    const put = new PutObjectCommand({ Bucket: FORBIDDEN, Key: "a", Body: "a" });
    await assert.rejects(client.send(put), denied);
    await assert.rejects(client.send(new ListObjectsV2Command({ Bucket: FORBIDDEN })), denied);
  },

  // Stores on conditions, and a stream with a length, whose checksum follows the body.
  async own() {
    const to = at("conditional");
    const failed = { name: "PreconditionFailed" };
    const { ETag } = await client.send(new PutObjectCommand({ ...to, Body: file("small"), IfNoneMatch: "*" }));
    await assert.rejects(client.send(new PutObjectCommand({ ...to, Body: "other", IfNoneMatch: "*" })), failed);
    await client.send(new PutObjectCommand({ ...to, Body: file("one"), IfMatch: ETag }));
    await assert.rejects(client.send(new GetObjectCommand({ ...to, IfMatch: ETag })), failed);
    await compare("conditional", "one");
    const ContentLength = file("large").length;
    const Body = createReadStream(path("large"));
    await client.send(new PutObjectCommand({ ...at("streamed"), Body, ContentLength }));
    await compare("streamed", "large");
  },

  rewrapped: get,
};

for (const name of process.argv.slice(2)) {
  try {
    await operations[name]();
    console.log(`${name}\tok`);
  } catch (error) {
    console.log(`${name}\tfailed\t${`${error.name}: ${error.message}`.replace(/\s+/g, " ")}`);
  }
}
