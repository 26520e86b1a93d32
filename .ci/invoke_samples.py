"""Invokes the functions with every sample event by `cargo lambda invoke`, and reads the tables afterwards."""

import json
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

WAIT_SECONDS = 120


def wait_for(url):
    """Returns once something answers at `url`, whatever it answers."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > end:
                sys.exit(f"nothing answers at {url}")
            time.sleep(0.2)


def invoke(function, sample):
    # The first invocation of a function builds it.
    command = ["cargo", "lambda", "invoke", function, "--data-file", str(sample)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{run.stdout}{run.stderr}")
    return json.loads(run.stdout)


def dynamodb(operation, **body):
    request = urllib.request.Request(
        "http://127.0.0.1:8000/",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, "
            "SignedHeaders=host, Signature=0",
            "X-Amz-Date": "20260101T000000Z",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def main():
    wait_for("http://127.0.0.1:8000/")
    wait_for("http://127.0.0.1:9000/")
    samples = sorted(pathlib.Path("events").glob("*.json"))
    if not samples:
        sys.exit("there are no sample events")
    for sample in samples:
        # A sample is named after its sink, as `appian.json` and `appian-poison.json` are.
        answer = invoke(f"sink{sample.stem.split('-')[0].capitalize()}Data", sample)
        print(f"{sample}: {json.dumps(answer)}")
        if answer != {"batchItemFailures": []}:
            sys.exit(f"{sample} was not answered as a success")
    tables = dynamodb("ListTables")["TableNames"]
    counts = {table: dynamodb("Scan", TableName=table)["Count"] for table in tables}
    print(f"items: {counts}")
    if not all(counts.values()):
        sys.exit("a table is empty, although the samples write to each")


main()
