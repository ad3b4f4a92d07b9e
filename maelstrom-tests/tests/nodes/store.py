#!/usr/bin/env python3
"""A lin-kv node in another language: one store in memory, right as long as it is alone."""

import json
import sys

store = {}


def answer(body):
    if body["type"] == "init":
        return {"type": "init_ok"}
    key = json.dumps(body["key"], sort_keys=True)
    if body["type"] == "write":
        store[key] = body["value"]
        return {"type": "write_ok"}
    if key not in store:
        return {"type": "error", "code": 20, "text": "no such key"}
    if body["type"] == "read":
        return {"type": "read_ok", "value": store[key]}
    if store[key] != body["from"]:
        return {"type": "error", "code": 22, "text": "another value"}
    store[key] = body["to"]
    return {"type": "cas_ok"}


for line in sys.stdin:
    message = json.loads(line)
    body = answer(message["body"])
    body["in_reply_to"] = message["body"]["msg_id"]
    reply = {"src": message["dest"], "dest": message["src"], "body": body}
    print(json.dumps(reply), flush=True)
