"""A simulator of an S3 Batch Operations job that invokes a Lambda function, as seen from outside.

It reads a manifest, writes a completion report, and retries temporary failures. No emulator supports it.

Shapes: Amazon S3 User Guide, "Invoking an AWS Lambda function with S3 Batch Operations", "Completion reports".
"""

import csv
import json
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor

# Maximum number of tries per task. AWS does not document the number.
TRIES = 3
# Seconds. The limit that catches a hang.
PATIENCE = 600


def invoke(url, event):
    """Returns the function's response. Raises if the function fails."""
    request = urllib.request.Request(url, json.dumps(event).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def tasks_of(manifest):
    """Yields the tasks of the lines `bucket,urlencoded-key[,version]`."""
    with open(manifest, newline="") as lines:
        for number, (bucket, key, *version) in enumerate(csv.reader(lines)):
            yield {"id": f"task-{number}", "bucket": bucket, "key": key, "version": next(iter(version), "") or None}


def event_of(job, task, arguments):
    """Returns the event of one task: schema 2.0 if the job has arguments, else 1.0."""
    event = {
        "invocationSchemaVersion": "1.0" if arguments is None else "2.0",
        "invocationId": str(uuid.uuid4()),
        "job": {"id": job},
        "tasks": [{"taskId": task["id"], "s3Key": task["key"], "s3VersionId": task["version"]}],
    }
    if arguments is None:
        event["tasks"][0]["s3BucketArn"] = f"arn:aws:s3:::{task['bucket']}"
    else:
        event["tasks"][0]["s3Bucket"] = task["bucket"]
        event["job"]["userArguments"] = arguments
    return event


def attempt(url, job, task, arguments):
    """Returns the code and text of one try."""
    event = event_of(job, task, arguments)
    try:
        answer = invoke(url, event)
    except urllib.error.HTTPError as error:
        return "PermanentFailure", f"unhandled: {error.read().decode(errors='replace')}"
    for field in ("invocationSchemaVersion", "invocationId"):
        if answer[field] != event[field]:
            raise ValueError(f"the response's {field} is {answer[field]!r}, not {event[field]!r}")
    found = [result for result in answer["results"] if result["taskId"] == task["id"]]
    if not found:
        return answer["treatMissingKeysAs"], "the response omits the task"
    return found[0]["resultCode"], found[0]["resultString"]


def run(url, manifest, report, arguments=None, workers=4):
    """Runs the job and writes its report. Returns the number of tries by task.

    A line has bucket, key, version, status, HTTP status, error and text.
    """
    job = str(uuid.uuid4())
    tries = {}

    def work(task):
        for tries[task["id"]] in range(1, TRIES + 1):
            code, text = attempt(url, job, task, arguments)
            if code != "TemporaryFailure":
                break
        done = code == "Succeeded"
        ended = ("succeeded", "200", "") if done else ("failed", "200", code)
        return task["bucket"], task["key"], task["version"] or "", *ended, text

    with ThreadPoolExecutor(workers) as pool, open(report, "w", newline="") as output:
        csv.writer(output).writerows(pool.map(work, tasks_of(manifest)))
    return tries
